"""Expressions in strings, in numexpr's language: parsed by an allow-list, fused like functions."""

from .evaluation import evaluate, re_evaluate, validate

__all__ = ["evaluate", "re_evaluate", "validate"]
