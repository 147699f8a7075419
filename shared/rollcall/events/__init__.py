"""The event contract: types, versions, envelope, topics. No I/O."""
