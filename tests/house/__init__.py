"""House rules that no linter knows: no floats near money, pure imports, documents that say what the code does."""
