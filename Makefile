.PHONY: check coverage format test slow

check:
	ruff check .
	ruff format --check .
	mypy

format:
	ruff check --fix .
	ruff format .

test:
	pytest

coverage:
	pytest --cov

slow:
	pytest -m slow
	AUTOTINY_EVERY_CORE=1 pytest tests/engine
