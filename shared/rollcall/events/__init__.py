"""The event contract: types, versions, envelope, topics. Pure."""
