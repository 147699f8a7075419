"""The tests; README.md says what each folder is and how to run one test."""
