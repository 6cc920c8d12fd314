package e2e

import (
	"fmt"
	"strconv"
	"sync"
	"testing"

	"eventshop.example/ops/eventshop"
)

// scale runs every named service as n processes. The commands run in parallel, as operators of
// several services would run them.
func (s *stack) scale(t testing.TB, n int, names ...string) {
	t.Helper()
	var wg sync.WaitGroup
	for _, name := range names {
		wg.Go(func() {
			if out, err := s.command("scale", name, strconv.Itoa(n)); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
	if err := s.readState(); err != nil {
		t.Fatal(err)
	}
}

// scaled runs every named service as n processes until the end of the test.
func (s *stack) scaled(t testing.TB, n int, names ...string) {
	t.Helper()
	t.Cleanup(func() {
		for _, name := range names {
			if out, err := s.command("scale", name, "1"); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		}
		if err := s.readState(); err != nil {
			t.Error(err)
		}
	})
	s.scale(t, n, names...)
}

// TestScalingUnderLoad runs every service as one process, then three, then one again while orders
// are placed, so that partitions and shards of the outboxes change owners all the time. No event
// may be lost or have two effects.
func TestScalingUnderLoad(t *testing.T) {
	if testing.Short() {
		t.Skip("the long run is left out with -short")
	}
	s := shared(t)
	const stock = plenty
	sku := s.stock(t, "SCALE-1", stock)
	s.fault(t, "gateway", `{"match":{"customerId":"scale-poor"},"decline":"insufficient_funds"}`)
	adm := s.admin(t)

	l := s.startLoad(t, sku, 15, "scale-ada", "scale-bob", "scale-eve", "scale-poor")
	l.await(t, 30)
	s.scaled(t, 3, eventshop.Services()...)
	l.spread(s.URL["order"], s.URL["order-2"], s.URL["order-3"])
	awaitMembers(t, adm, 3, eventshop.Services()...)
	t.Logf("three of each at %d orders", l.placed())
	l.await(t, 60)
	s.scale(t, 1, eventshop.Services()...)
	awaitMembers(t, adm, 1, eventshop.Services()...)
	l.spread(s.URL["order"])
	t.Logf("one of each again at %d orders", l.placed())
	l.await(t, max(30, 300-l.placed()))

	orders := l.stop()
	ended := s.endOf(t, orders)
	if ended["DELIVERED"] == 0 || ended["CANCELLED"] == 0 {
		t.Errorf("the mix is not one: %v", ended)
	}
	s.wantStock(t, sku, stock, ended["DELIVERED"])
	s.verify(t)
	for _, name := range eventshop.Services() {
		for i := 2; i <= 3; i++ {
			if url := s.URL[fmt.Sprintf("%s-%d", name, i)]; url != "" {
				t.Errorf("%s-%d is still known at %s", name, i, url)
			}
		}
	}
}
