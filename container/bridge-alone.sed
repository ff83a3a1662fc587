# The bridge's Cargo.toml without its tests: what the image is built from, and what its crates are fetched for.
/^\[workspace\]/,/^$/d
/^\[profile\.dev\.package/,/^$/d
/^\[dev-dependencies\]/,$d
