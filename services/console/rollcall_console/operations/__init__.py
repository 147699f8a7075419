"""The page Operations: how the deployment is, for operators; no organisation and no member."""
