"""Benchmarks: one file per question, a load generator in C, and what they share.

`python -m bench` answers all questions, `python -m bench rooms` one. Results: bench/results/ and docs/performance.md.
"""
