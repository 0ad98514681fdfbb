"""OSCP 2.0, the side of the flexibility provider: forecasts of capacity come in, measurements go out.

Read in this order: `messages`, `limits` (from blocks to grid limits), `room` (the source).
"""
