//! Owns the reading of arguments: a call's, and an input call's into its typed form.
//! It never judges whether the call is allowed.

use zbus::Message;

use super::{options::Notify, sessions::Refused};

/// The arguments of a call.
pub(crate) fn args<T>(message: &Message) -> Result<T, Refused>
where
    T: for<'d> zbus::zvariant::DynamicDeserialize<'d>,
{
    let body = message.body();
    body.deserialize::<T>().map_err(|error| ("InvalidArgs", error.to_string()))
}

/// An input call, typed.
pub(crate) fn notify(message: &Message, member: &str) -> Result<Notify, Refused> {
    Ok(match member {
        "NotifyKeyboardKeycode" => {
            let (code, pressed) = args(message)?;
            Notify::Keycode(code, pressed)
        }
        "NotifyKeyboardKeysym" => {
            let (keysym, pressed) = args(message)?;
            Notify::Keysym(keysym, pressed)
        }
        "NotifyPointerButton" => {
            let (code, pressed) = args(message)?;
            Notify::Button(code, pressed)
        }
        "NotifyPointerAxis" => {
            let (dx, dy, flags) = args(message)?;
            Notify::Axis(dx, dy, flags)
        }
        "NotifyPointerAxisDiscrete" => {
            let (axis, steps) = args(message)?;
            Notify::AxisDiscrete(axis, steps)
        }
        "NotifyPointerMotionRelative" => {
            let (dx, dy) = args(message)?;
            Notify::MotionRelative(dx, dy)
        }
        "NotifyPointerMotionAbsolute" => {
            let (stream, x, y) = args(message)?;
            Notify::MotionAbsolute(stream, x, y)
        }
        "NotifyTouchDown" => {
            let (stream, slot, x, y) = args(message)?;
            Notify::TouchDown(stream, slot, x, y)
        }
        "NotifyTouchMotion" => {
            let (stream, slot, x, y) = args(message)?;
            Notify::TouchMotion(stream, slot, x, y)
        }
        "NotifyTouchUp" => Notify::TouchUp(args(message)?),
        other => return Err(("Failed", format!("the fake does not know {other}"))),
    })
}
