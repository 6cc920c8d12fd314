package relay

import (
	"regexp"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// clientLog reads the log of the Kafka clients. A client that may retry does so without a limit and
// does not report the failures to the caller. Its log states the reason, at a level that is too
// expensive during normal operation.
type clientLog struct {
	verbose atomic.Bool // a record has been at the producer for long
	last    atomic.Pointer[reply]
}

// reply is why a request failed.
type reply struct {
	at   time.Time
	text string
}

// Level implements [kgo.Logger].
func (a *clientLog) Level() kgo.LogLevel {
	if a.verbose.Load() {
		return kgo.LogLevelDebug
	}
	return kgo.LogLevelNone
}

// code finds the broker's error code in the client's log of a produce request.
var code = regexp.MustCompile(`re(?:try|sett)ing@-?\d+,\d+\(([A-Z_]+)`)

// Log implements [kgo.Logger]. It stores why a request failed that the client will repeat.
func (a *clientLog) Log(_ kgo.LogLevel, msg string, keyvals ...any) {
	for i := 0; i+1 < len(keyvals); i += 2 {
		switch value := keyvals[i+1].(type) {
		case string:
			if m := code.FindStringSubmatch(value); msg == "produced" && m != nil {
				a.note(m[1])
			}
		case error:
			if keyvals[i] == "err" && keepsRecords(msg) {
				a.note(value.Error())
			}
		}
	}
}

// keepsRecords reports whether kgo logs the message with an error that keeps records at the
// producer.
func keepsRecords(msg string) bool {
	switch msg {
	case "produce request failed, triggering metadata update",
		"produce request failed with a retryable error, retrying without a metadata update",
		"producer id initialization failure, discarding initialization attempt",
		"producer id initialization resulted in retryable error, discarding initialization attempt",
		"random error while producing, requeueing unattempted request":
		return true
	}
	return false
}

func (a *clientLog) note(text string) { a.last.Store(&reply{time.Now(), text}) }

// since returns the last reply, if it came after t.
func (a *clientLog) since(t time.Time) string {
	if last := a.last.Load(); last != nil && last.at.After(t) {
		return last.text
	}
	return ""
}
