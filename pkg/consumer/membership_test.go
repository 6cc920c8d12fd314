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

// TestNewOwnsNoPartitions: a service makes its consumer at once and runs it when
// its database is there. Until then the others of the group do all the work.
func TestNewOwnsNoPartitions(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	subs := []consumer.Subscription{consumer.On(onDelivered)}
	waiting, err := consumer.New(consumer.Config{
		Group: group, Brokers: b.brokers, Pool: b.pool, Codec: b.codec, Outbox: b.outbox, Subscriptions: subs,
	})
	if err != nil {
		t.Fatal(err)
	}
	if waiting.Ready(t.Context()) == nil {
		t.Error("a consumer that does not run is ready")
	}
	b.run(consumer.Config{Subscriptions: subs})
	var rs []*kgo.Record
	for _, id := range []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"} {
		rs = append(rs, b.record(delivered(id), 1))
	}
	kafkatest.Produce(t, b.brokers, rs...)
	b.awaitEffects(len(rs))
}

// TestAStopIsNotHeldByAFrozenBroker: the broker takes connections and answers
// nothing, as when its process is stopped by a signal.
func TestAStopIsNotHeldByAFrozenBroker(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	var frozen atomic.Bool
	dial := func(ctx context.Context, network, host string) (net.Conn, error) {
		c, err := (&net.Dialer{}).DialContext(ctx, network, host)
		if err != nil {
			return nil, err
		}
		return &mute{Conn: c, frozen: &frozen}, nil
	}
	stop := b.run(consumer.Config{
		Subscriptions: []consumer.Subscription{consumer.On(onDelivered)},
		StopGrace:     200 * time.Millisecond,
		KgoOpts:       []kgo.Opt{kgo.Dialer(dial)},
	})
	kafkatest.Produce(t, b.brokers, b.record(delivered("o-1"), 1))
	b.awaitEffects(1)
	frozen.Store(true)
	stopped := make(chan struct{})
	go func() { stop(); close(stopped) }()
	select {
	case <-stopped:
	case <-time.After(kafkatest.Patience):
		t.Fatal("the stop waits for a broker that answers nothing")
	}
}

// mute is a connection on which nothing arrives any more once it is frozen.
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
