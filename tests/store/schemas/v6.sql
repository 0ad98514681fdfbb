-- A database as schema 6 left it.  Made once; never to be edited.
CREATE TABLE schema_version (number INTEGER PRIMARY KEY);
INSERT INTO schema_version VALUES (6);
CREATE TABLE journal (
    seq INTEGER PRIMARY KEY, at_s DOUBLE PRECISION NOT NULL, kind TEXT NOT NULL, body TEXT NOT NULL
);
INSERT INTO journal VALUES
    (1, 100.0, 'StationOffline', '{"at_s":100.0,"station":"S"}'),
    (2, 110.0, 'TransactionStarted', '{"at_s":110.0,"evse":"A","transaction_id":"1","id_token":"tag","meter_wh":1000.0}'),
    (3, 120.0, 'Metered', '{"at_s":120.0,"evse":"A","current_a":[16.0,0.0,0.0],"power_w":3680.0,"energy_wh":1500.0,"soc":null}');
CREATE TABLE transaction_numbers (
    number INTEGER PRIMARY KEY,
    station TEXT NOT NULL, connector INTEGER NOT NULL, started_at_s DOUBLE PRECISION NOT NULL, id_token TEXT NOT NULL,
    UNIQUE (station, connector, started_at_s, id_token)
);
INSERT INTO transaction_numbers VALUES (1, 'S', 1, 105.0, 'tag');
CREATE TABLE transactions (
    evse TEXT NOT NULL, transaction_id TEXT NOT NULL,
    started_seq INTEGER, started_at_s DOUBLE PRECISION, ended_at_s DOUBLE PRECISION, id_token TEXT,
    meter_start_wh DOUBLE PRECISION, meter_wh DOUBLE PRECISION, reason TEXT,
    PRIMARY KEY (evse, transaction_id)
);
INSERT INTO transactions VALUES ('A', '1', 2, 110.0, NULL, 'tag', 1000.0, 1500.0, NULL);
CREATE INDEX transactions_by_start ON transactions (evse, started_seq);
CREATE TABLE readings (
    seq INTEGER PRIMARY KEY, evse TEXT NOT NULL, at_s DOUBLE PRECISION NOT NULL,
    l1_a DOUBLE PRECISION, l2_a DOUBLE PRECISION, l3_a DOUBLE PRECISION,
    power_w DOUBLE PRECISION, energy_wh DOUBLE PRECISION, soc DOUBLE PRECISION
);
INSERT INTO readings VALUES (3, 'A', 120.0, 16.0, 0.0, 0.0, 3680.0, 1500.0, NULL);
CREATE INDEX readings_by_time ON readings (evse, at_s);
CREATE TABLE snapshots (seq INTEGER PRIMARY KEY, at_s DOUBLE PRECISION NOT NULL, body TEXT NOT NULL);
CREATE TABLE chronicle (
    seq INTEGER PRIMARY KEY, at_s DOUBLE PRECISION NOT NULL, kind TEXT NOT NULL, body TEXT NOT NULL
);
INSERT INTO chronicle SELECT seq, at_s, kind, body FROM journal WHERE seq < 3;
CREATE TABLE logbook (
    number INTEGER PRIMARY KEY, at_s DOUBLE PRECISION NOT NULL, kind TEXT NOT NULL, body TEXT NOT NULL
);
CREATE TABLE told (listener TEXT PRIMARY KEY, number INTEGER NOT NULL);
CREATE TABLE network_sites (site TEXT PRIMARY KEY, body TEXT NOT NULL);
CREATE TABLE network_facts (
    site TEXT NOT NULL, seq INTEGER NOT NULL, at_s DOUBLE PRECISION NOT NULL, kind TEXT NOT NULL, body TEXT NOT NULL,
    PRIMARY KEY (site, seq)
);
CREATE TABLE network_lines (
    site TEXT NOT NULL, seq INTEGER NOT NULL, at_s DOUBLE PRECISION NOT NULL, kind TEXT NOT NULL, body TEXT NOT NULL,
    PRIMARY KEY (site, seq)
);
CREATE TABLE outbox (number INTEGER PRIMARY KEY, station TEXT NOT NULL, action TEXT NOT NULL, body TEXT NOT NULL);
CREATE TABLE backend_transactions (
    station TEXT NOT NULL, ours INTEGER NOT NULL, theirs INTEGER NOT NULL, PRIMARY KEY (station, ours)
);
