package consumer_test

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/kafkatest"
)

// TestNewOwnsNoPartitions: a service creates its consumer at its start and runs it when its
// database is ready. Until then the other members of the group do all the work.
func TestNewOwnsNoPartitions(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	subs := []consumer.Subscription{on(onDelivered)}
	waiting, err := consumer.New(consumer.Config{
		Group: group, Brokers: f.brokers, Pool: f.pool, Types: f.codec.Types(), Decode: f.codec.Decode, Encodable: f.codec.Encodable, Outbox: f.outbox, Subscriptions: subs,
	})
	if err != nil {
		t.Fatal(err)
	}
	if waiting.Ready(t.Context()) == nil {
		t.Error("a consumer that does not run is ready")
	}
	f.run(consumer.Config{Subscriptions: subs})
	var rs []*kgo.Record
	for _, id := range []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"} {
		rs = append(rs, f.record(collected(id), 1))
	}
	kafkatest.Produce(t, f.brokers, rs...)
	f.awaitEffects(len(rs))
}

// TestAStopIsNotHeldByAFrozenBroker: the broker accepts connections and does not answer, as when
// its process is stopped by a signal.
func TestAStopIsNotHeldByAFrozenBroker(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var frozen atomic.Bool
	dial := func(ctx context.Context, network, host string) (net.Conn, error) {
		c, err := (&net.Dialer{}).DialContext(ctx, network, host)
		if err != nil {
			return nil, err
		}
		return &mute{Conn: c, frozen: &frozen}, nil
	}
	stop := f.run(consumer.Config{
		Subscriptions: []consumer.Subscription{on(onDelivered)},
		StopGrace:     200 * time.Millisecond,
		KgoOpts:       []kgo.Opt{kgo.Dialer(dial)},
	})
	kafkatest.Produce(t, f.brokers, f.record(collected("o-1"), 1))
	f.awaitEffects(1)
	frozen.Store(true)
	stopped := make(chan struct{})
	go func() { stop(); close(stopped) }()
	select {
	case <-stopped:
	case <-time.After(kafkatest.Patience):
		t.Fatal("the stop waits for a broker that answers nothing")
	}
}

// mute is a connection that receives nothing once it is frozen.
type mute struct {
	net.Conn
	frozen *atomic.Bool
}

func (c *mute) Read(b []byte) (int, error) {
	for {
		n, err := c.Conn.Read(b)
		if err != nil || !c.frozen.Load() {
			return n, err
		}
	}
}
