.PHONY: check format test slow

check:
	ruff check .
	ruff format --check .
	mypy

format:
	ruff check --fix .
	ruff format .

test:
	pytest

slow:
	pytest -m slow
