package e2e

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
)

const (
	chaosOrders  = 500
	chaosClients = 20
	chaosStock   = 260 // pieces of each SKU: about as many as the orders need, so some run out
)

var chaosSKUs = []string{"CHAOS-1", "CHAOS-2", "CHAOS-3"}

// TestKillEverythingUnderLoad places mixed orders from many clients on few SKUs while every process
// in turn is killed with SIGKILL and started again. Every order that was promised to a client must
// exist, every order must end, and stock and money must be exact.
func TestKillEverythingUnderLoad(t *testing.T) {
	if testing.Short() {
		t.Skip("the long run is left out with -short")
	}
	s := shared(t)
	for _, sku := range chaosSKUs {
		s.receive(t, sku, chaosStock)
	}
	s.fault(t, "gateway", `{"match":{"customerId":"chaos-poor"},"decline":"insufficient_funds"}`)
	s.fault(t, "gateway", `{"match":{"operation":"charge"},"answerLost":true,"probability":0.04}`)
	s.fault(t, "gateway", `{"match":{"operation":"refund"},"answerLost":true,"probability":0.1}`)
	s.fault(t, "carrier", `{"match":{"customerId":"chaos-remote","operation":"schedule"},"refuse":"address_not_served"}`)
	s.fault(t, "carrier", `{"match":{"operation":"schedule"},"answerLost":true,"probability":0.04}`)

	var (
		mu       sync.Mutex
		promised = map[string]string{} // order id → idempotency key
		placed   atomic.Int64
		wg       sync.WaitGroup
	)
	next := make(chan int)
	for client := range chaosClients {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(client), 7))
			for n := range next {
				key := fmt.Sprintf("chaos-%d-%d", client, n)
				customer := []string{"chaos-ada", "chaos-bob", "chaos-eve", "chaos-poor", "chaos-remote"}[weighted(rnd)]
				body := orderBody(customer, chaosSKUs[rnd.IntN(len(chaosSKUs))], 1+rnd.IntN(3))
				id := s.insist(t, s.URL["order"]+"/orders", body, key, http.StatusCreated)
				if id == "" {
					return
				}
				mu.Lock()
				if other, twice := promised[id]; twice {
					t.Errorf("order %s was promised under two keys: %s and %s", id, other, key)
				}
				promised[id] = key
				mu.Unlock()
				placed.Add(1)
				if rnd.IntN(8) == 0 {
					// The order is either accepted for cancellation or too late, but there must be
					// an answer.
					s.insist(t, s.URL["order"]+"/orders/"+id+"/cancel", `{}`, key+"-cancel", http.StatusAccepted, http.StatusOK, http.StatusConflict)
				}
			}
		})
	}
	// Each process is killed in the middle of its share of the orders: the rest of the share is
	// placed while it is down and while it starts.
	targets := []string{"payment", "order", "inventory", "shipping", "orchestrator", "projection", "broker", "postgres", "gateway", "carrier", "registry"}
	fed := 0
	feed := func(upTo int) {
		for ; fed < upTo; fed++ {
			select {
			case next <- fed:
			case <-t.Context().Done():
				return
			}
		}
	}
	for i, target := range targets {
		share := chaosOrders / len(targets)
		feed(i*share + share/2)
		s.must(t, "kill", target)
		rest := make(chan struct{})
		go func() {
			defer close(rest)
			feed((i + 1) * share)
		}()
		s.must(t, "start", target)
		<-rest
		t.Logf("killed and started %s at %d of %d orders placed", target, placed.Load(), fed)
	}
	feed(chaosOrders)
	close(next)
	wg.Wait()
	if len(promised) != chaosOrders {
		t.Fatalf("%d orders promised, want %d", len(promised), chaosOrders)
	}
	ended := map[string]int{}
	for id := range promised {
		ended[s.awaitStatus(t, id, "DELIVERED", "CANCELLED")]++
	}
	t.Logf("ended: %v", ended)
	if ended["DELIVERED"] == 0 || ended["CANCELLED"] == 0 {
		t.Errorf("the mix is not one: %v", ended)
	}
	for _, sku := range chaosSKUs {
		a := get(t, s.URL["inventory"]+"/stock/"+sku)
		available, _ := strconv.Atoi(a.field(t, "available"))
		reserved, _ := strconv.Atoi(a.field(t, "reserved"))
		shipped, _ := strconv.Atoi(a.field(t, "shipped"))
		if available < 0 || reserved != 0 || available+shipped != chaosStock {
			t.Errorf("%s: %d available, %d reserved, %d shipped of %d", sku, available, reserved, shipped, chaosStock)
		}
	}
	s.verify(t)
}

// weighted picks a customer: mostly one of three good ones, sometimes one without money or one in
// an area without carrier.
func weighted(rnd *rand.Rand) int {
	switch n := rnd.IntN(20); {
	case n < 16:
		return n % 3
	case n < 18:
		return 3
	default:
		return 4
	}
}

// insist repeats a request with its idempotency key until it gets one of the expected answers, as a
// client does whose server may be killed at any moment. It returns the order id in the answer, or
// "" for a refusal.
func (s *stack) insist(t testing.TB, url, body, key string, want ...int) string {
	a, err := client.Insist(t.Context(), func() string { return url }, body, key, want...)
	switch {
	case err != nil:
		t.Error(err)
		return ""
	case a.Status == http.StatusConflict && a.Header.Get("Content-Type") != "application/problem+json":
		t.Errorf("POST %s: a 409 that is no problem document: %s", url, a.Body)
	}
	if a.Status/100 != 2 {
		return ""
	}
	return a.OrderID()
}
