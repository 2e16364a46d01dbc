import pytest

from holdfast.testing.bench import fresh_benches


@pytest.fixture(autouse=True)
def fresh_toys():
    """What a fault has spoiled is loaded anew; a spoiled tokenizer shows in no fingerprint."""
    yield
    fresh_benches()
