package relay

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/outbox"
)

// TestOvershootDoesNotWaitForItself fills the relay during an outage beyond its room (a read is
// divided among the shards and rounded up), with the second event of a key in flight waiting in
// memory. When the broker returns, the first event's promise sends the second event. At a limit of
// the producer, it would wait for the promise that sends it.
func TestOvershootDoesNotWaitForItself(t *testing.T) {
	f := newFixture(t, kafkatest.Start(t, testTopic))
	var away atomic.Bool
	away.Store(true)
	dial := func(ctx context.Context, network, host string) (net.Conn, error) {
		if away.Load() {
			return nil, errors.New("the broker is away")
		}
		return (&net.Dialer{}).DialContext(ctx, network, host)
	}
	r := f.start(t, Config{MaxInFlight: 8, BatchSize: 8, KgoOpts: []kgo.Opt{kgo.Dialer(dial)}})
	keys := map[int16][]string{}
	for i := 0; len(keys[0]) < 3 || len(keys[1]) < 3 || len(keys[2]) < 3 || len(keys[3]) < 3; i++ {
		k := fmt.Sprintf("k%d", i)
		keys[outbox.ShardOf([]byte(k))] = append(keys[outbox.ShardOf([]byte(k))], k)
	}
	inMemory := func(n int) func() bool {
		return func() bool { rows, _, _, _ := r.flight.counts(); return rows >= n }
	}
	f.Append(t, keys[0][0], keys[1][0], keys[2][0])
	f.Out.Wake()
	kafkatest.Eventually(t, "three rows in memory", inMemory(3))
	f.Append(t, keys[0][0], keys[0][1], keys[1][1], keys[1][2], keys[2][1], keys[2][2], keys[3][1], keys[3][2])
	f.Out.Wake()
	kafkatest.Eventually(t, "more rows in memory than there is room for", inMemory(9))
	away.Store(false)
	kafkatest.Eventually(t, "everything published", func() bool { return f.stats(t).Unpublished == 0 })
}
