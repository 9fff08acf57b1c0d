-- Offset ranges that wait for an operator: their attempts ran out, or no attempt can help.
-- The row goes when a run over the range succeeds.
CREATE TABLE abandoned_range (
    topic_id     VARCHAR(255) NOT NULL COMMENT 'Topic and generation: changes when either starts over',
    partition_id BIGINT       NOT NULL COMMENT 'Partition of the topic',
    start_offset BIGINT       NOT NULL COMMENT 'The first message',
    end_offset   BIGINT       NOT NULL COMMENT 'One past the last message',
    topic        VARCHAR(255) NOT NULL COMMENT 'The topic by its name',
    attempts     BIGINT       NOT NULL COMMENT 'Attempts that were made',
    reason       MEDIUMTEXT   NOT NULL COMMENT 'Why the last one failed',
    PRIMARY KEY (topic_id, partition_id, start_offset, end_offset)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
  COMMENT = 'Offset ranges that wait for an operator';
