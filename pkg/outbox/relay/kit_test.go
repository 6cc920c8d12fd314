package relay

import (
	"context"
	"testing"
	"time"

	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/outbox/admin"
	"eventshop.example/pkg/outbox/outboxtest"
)

// testLease is short enough to wait for and long enough for a busy machine.
const testLease = 1500 * time.Millisecond

var testTopic = outboxtest.Topic()

// quick configures a relay that notices a hold, and stops waiting for the broker, within a fraction
// of a second.
var quick = Config{Lease: testLease, PollEvery: 10 * time.Millisecond, DrainTimeout: 300 * time.Millisecond}

// fixture is one outbox table with a broker.
type fixture struct {
	*outboxtest.Table
	brokers []string
	last    *Relay // the relay that start created last, whose refusals stats includes
}

func newFixture(t testing.TB, brokers []string) *fixture {
	t.Helper()
	return &fixture{Table: outboxtest.New(t), brokers: brokers}
}

// relay is a running relay.
type relay struct {
	*Relay
	cancel context.CancelFunc
	done   chan error
}

// start runs a relay until the end of the test or stop. It applies the changes before the relay
// runs.
func (f *fixture) start(t testing.TB, cfg Config, changes ...func(*Relay)) *relay {
	t.Helper()
	if cfg.Brokers == nil {
		cfg.Brokers = f.brokers
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &relay{Relay: New(f.Pool, f.Out, cfg), cancel: cancel, done: make(chan error, 1)}
	for _, change := range changes {
		change(r.Relay)
	}
	f.last = r.Relay
	go func() { r.done <- r.Run(ctx) }()
	t.Cleanup(func() { r.stop(t) })
	return r
}

// stop ends the relay gracefully, once.
func (r *relay) stop(t testing.TB) {
	t.Helper()
	r.cancel()
	if err, ok := <-r.done; ok {
		close(r.done)
		if err != nil {
			t.Errorf("relay ended with: %v", err)
		}
	}
}

// admin returns the operators' work on the table.
func (f *fixture) admin() admin.Admin {
	a := admin.Admin{Pool: f.Pool, Wake: f.Out.Wake}
	if f.last != nil {
		a.Refused = f.last.Refused
	}
	return a
}

func (f *fixture) stats(t testing.TB) admin.Description {
	t.Helper()
	s, err := f.admin().Describe(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (f *fixture) awaitPublished(t testing.TB) {
	t.Helper()
	kafkatest.Eventually(t, "all rows to be published", func() bool { return f.stats(t).Unpublished == 0 })
}

// verify checks the broker's records, see [outboxtest.Table.Verify].
func (f *fixture) verify(t testing.TB) (repeated int) {
	t.Helper()
	return f.Verify(t, f.brokers)
}
