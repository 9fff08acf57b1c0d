-- Offset ranges that wait for an operator: their attempts ran out, or no attempt can help.
-- The row goes when a run over the range succeeds.
CREATE TABLE abandoned_range (
    topic_id     TEXT    NOT NULL, -- topic and generation of the ledger: changes when either starts over
    partition_id INTEGER NOT NULL,
    start_offset INTEGER NOT NULL, -- the first message
    end_offset   INTEGER NOT NULL, -- one past the last message
    topic        TEXT    NOT NULL,
    attempts     INTEGER NOT NULL,
    reason       TEXT    NOT NULL,
    PRIMARY KEY (topic_id, partition_id, start_offset, end_offset)
) STRICT;
