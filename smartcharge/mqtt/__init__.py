"""One broker connection: limits, meters, needs, orders and prices in; state, setpoints and the plan out."""
