"""Unit tests of `rollcall.consuming`."""
