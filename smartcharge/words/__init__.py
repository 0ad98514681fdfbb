"""What is said in JSON, whatever carries it: MQTT, HTTP.  Checked payloads, and what operators mean by them."""
