"""How tests wait for a page."""

import pytest

PATIENCE = 120_000  # ms


def until(page, expression):
    """Waits for something; the page's policy forbids Playwright's own way, which evaluates text."""
    for _ in range(PATIENCE // 50):
        if page.evaluate(f"() => Boolean({expression})"):
            return
        page.wait_for_timeout(50)
    pytest.fail(f"never came true: {expression}")
