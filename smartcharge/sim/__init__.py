"""A simulated world to run the real controller in: time, cars, stations, recordings and a watcher."""
