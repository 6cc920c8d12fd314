package outbox

import "time"

// Refused is a record that the broker refused, for operators: a relay reports it, and a description
// of the table includes it. The later records of its topic and key wait behind it.
type Refused struct {
	Topic    string
	Key      string // empty for a record without a key
	Whole    bool   // the broker refuses every record of the topic
	Reason   string
	Since    time.Time // the first refusal
	Attempts int
	NextTry  time.Time
}
