"""The pure core: facts in, limits out.  No asyncio, no clock, no logging, no I/O.

Read in this order: `state` (what is known), `limits` (what is allowed), `planning` (what would be
best), `allocation` (what is safe), `profiles` (what to tell the stations).
"""
