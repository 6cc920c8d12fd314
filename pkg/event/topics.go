package event

import (
	"maps"
	"strconv"
	"time"
)

// Partitions is how many partitions a topic has unless an operator changes it: a few times the
// number of replicas that a service is likely to run with, and divisible by 2 and 3, so that 2 or 3
// replicas get equal shares.
const Partitions int32 = 6

const (
	// retryRetention is far beyond the last scheduled attempt, so that a consumer group that is
	// down over a long weekend loses no retry.
	retryRetention = 14 * 24 * time.Hour
	// deadLetterRetention is a month for operators to decide about a dead letter.
	deadLetterRetention = 30 * 24 * time.Hour
)

// Topic describes how a topic is created.
type Topic struct {
	Name       string
	Partitions int32
	// Config has Kafka topic configs by their names, for example "retention.ms".
	Config map[string]string
}

// NewTopic returns a topic with the default number of partitions and a copy of the config.
func NewTopic(name string, config map[string]string) Topic {
	return Topic{Name: name, Partitions: Partitions, Config: maps.Clone(config)}
}

// Expiring returns the config of a topic whose records are deleted after a time.
func Expiring(after time.Duration) map[string]string {
	return map[string]string{
		"cleanup.policy": "delete",
		"retention.ms":   strconv.FormatInt(after.Milliseconds(), 10),
	}
}

// DeadLetterTopic returns the topic "<topic>.<group>.dlq" for the records of a topic that a
// consumer group gave up. It has as many partitions as the original, so that a key keeps its
// partition number.
func DeadLetterTopic(original, group string) Topic {
	return NewTopic(original+"."+group+".dlq", Expiring(deadLetterRetention))
}

// RetryTopic returns the topic "<topic>.<group>.retry" for the records of a topic that a consumer
// group will try again. It has as many partitions as the original.
func RetryTopic(original, group string) Topic {
	return NewTopic(original+"."+group+".retry", Expiring(retryRetention))
}
