package outbox

import (
	"context"
	"errors"
	"regexp"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// producer is a Kafka client that can be replaced: one whose producer id the broker has
// refused once keeps that answer and refuses every record by itself from then on, also when
// the broker would not any more.
type producer struct {
	maxBatch int32 // bytes of a batch
	client   atomic.Pointer[kgo.Client]
}

// get returns nil before Run.
func (p *producer) get() *kgo.Client { return p.client.Load() }

func (p *producer) close() { p.get().Close() }

func (r *Relay) producers() []*producer { return []*producer{&r.company, &r.alone} }

// open gives p a new client and closes the one it had. What that one still has fails with
// kgo.ErrClientClosed, and so stays unpublished and is read again.
func (r *Relay) open(p *producer) error {
	client, err := kgo.NewClient(r.options(p.maxBatch)...)
	if err != nil {
		return err
	}
	if former := p.client.Swap(client); former != nil {
		former.Close()
	}
	return nil
}

// replaceRefused replaces the clients that refuse everything by themselves. The read loop
// calls it, after a refusal that may be of that kind.
func (r *Relay) replaceRefused() {
	if !r.suspect.Swap(false) {
		return
	}
	for _, p := range r.producers() {
		// With an answer that it keeps, the client does not ask.
		asking, cancel := context.WithTimeout(context.Background(), askTimeout)
		_, _, err := p.get().ProducerID(asking)
		cancel()
		if refusal := (*kerr.Error)(nil); !errors.As(err, &refusal) || refusal.Retriable {
			continue
		}
		r.cfg.Logger.Warn("broker refused the outbox relay a producer id; it asks for another one", "error", err)
		if err := r.open(p); err != nil {
			r.cfg.Logger.Error("outbox relay can not make another Kafka client", "error", err)
		}
	}
}

// options are those of a producer whose batches are at most so large.
func (r *Relay) options(batchBytes int32) []kgo.Opt {
	return append([]kgo.Opt{
		kgo.SeedBrokers(r.cfg.Brokers...),
		kgo.RequiredAcks(kgo.AllISRAcks()), // the default, and a promise of this package; idempotence is on by default
		kgo.ProducerLinger(0),              // the default of 10 ms would be paid four times by each order
		kgo.ProducerBatchMaxBytes(batchBytes),
		// The hash of the Java client, so that Debezium or another producer
		// puts a key into the same partition.
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)),
		// After a broker comes back or a partition moves, the backlog should
		// not wait for the defaults of several seconds.
		kgo.MetadataMinAge(250 * time.Millisecond),
		kgo.RetryBackoffFn(func(fails int) time.Duration { return min(pause(max(0, fails-1)), time.Second) }),
		// Never reached, since flight bounds the rows: a read may bring a few more
		// than there is room for, and a record counts here until its promise has
		// returned. Produce would block at this limit, also inside a promise, where it
		// would wait for itself.
		kgo.MaxBufferedRecords(r.most()),
		kgo.WithLogger(&r.answers),
	}, r.cfg.KgoOpts...)
}

// most is more than the records that can be at the producers.
func (r *Relay) most() int { return 2*r.cfg.MaxInFlight + r.cfg.BatchSize + shards }

// answers is the log of the Kafka clients. A client that may try again does so without a
// limit and without a word to the one who waits; why it must is in its log, at a level that
// costs too much to be on while all is well.
type answers struct {
	curious atomic.Bool // a record is at the producer for long
	last    atomic.Pointer[reply]
}

type reply struct {
	at   time.Time
	text string
}

// Level implements kgo.Logger.
func (a *answers) Level() kgo.LogLevel {
	if a.curious.Load() {
		return kgo.LogLevelDebug
	}
	return kgo.LogLevelNone
}

// code finds the broker's answer in what the client logs of a produce request.
var code = regexp.MustCompile(`re(?:try|sett)ing@-?\d+,\d+\(([A-Z_]+)`)

// Log implements kgo.Logger. It keeps why a request failed that is going to be made again.
func (a *answers) Log(_ kgo.LogLevel, msg string, keyvals ...any) {
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

// keepsRecords reports whether a message of kgo comes with an error that keeps records at the
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

func (a *answers) note(text string) { a.last.Store(&reply{time.Now(), text}) }

// since returns the last answer, if it came after t.
func (a *answers) since(t time.Time) string {
	if last := a.last.Load(); last != nil && last.at.After(t) {
		return last.text
	}
	return ""
}
