"""The console without any server: codes, seals, words, the contact light, who may post."""
