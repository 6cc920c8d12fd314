package projection

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/participant/participanttest"
)

// read is an answer about the freshness of a view.
type read struct {
	Status         int
	Version, Stale string
	Lag            bool   // whether the header is there
	Type           string // of a problem
	Order          string // the id of the order in the body
}

func get(t *testing.T, addr, path string) (r read) {
	t.Helper()
	res, err := http.Get("http://" + addr + path)
	if err != nil {
		return read{Type: err.Error()}
	}
	defer res.Body.Close()
	var body struct{ Type, OrderID string }
	if err := json.NewDecoder(res.Body).Decode(&body); err != nil {
		t.Errorf("GET %s: %v", path, err)
	}
	return read{
		Status: res.StatusCode, Version: res.Header.Get("Order-Version"), Stale: res.Header.Get("X-Projection-Stale"),
		Lag: res.Header.Get("X-Projection-Lag") != "", Order: body.OrderID,
		Type: strings.TrimPrefix(body.Type, "https://eventshop.example/problems/"),
	}
}

// TestReadsThroughKafka runs the whole service. A read that waits gets the event that is published
// meanwhile. An order whose event cannot be handled is answered at once. Every answer has the lag,
// and at the end of the topics it is 0.
func TestReadsThroughKafka(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.cfg.Addr, s.cfg.ReadWait = participanttest.Address(t), 5*time.Second
	stop := serve(t, s.cfg)
	defer stop()
	kafkatest.Eventually(t, "the lag to be known", func() bool { return get(t, s.cfg.Addr, "/revenue").Lag })

	order := string(s.records[0].Key)
	var got read
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		// On a slow machine the wait may end before the service has joined its group.
		for got.Status != http.StatusOK {
			got = get(t, s.cfg.Addr, "/orders/"+order+"?minVersion=2")
		}
	}()
	kafkatest.Produce(t, s.brokers, s.records[:5]...)
	<-answered
	if want := (read{Status: 200, Version: "2", Lag: true, Order: order}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}

	bad := *s.records[5] // of the next order
	bad.Value = []byte("no Avro")
	broken := string(bad.Key)
	kafkatest.Produce(t, s.brokers, &bad)
	want := read{Status: http.StatusServiceUnavailable, Lag: true, Type: "read-model-parked"}
	kafkatest.Eventually(t, "the order to be parked", func() bool { return get(t, s.cfg.Addr, "/orders/"+broken+"?minVersion=1") == want })
	want = read{Status: http.StatusNotFound, Version: "0", Stale: "parked", Lag: true, Type: "about:blank"}
	if got := get(t, s.cfg.Addr, "/orders/"+broken+"?minVersion=1&stale=allow"); got != want {
		t.Errorf("an order that is parked: %+v, want %+v", got, want)
	}
	kafkatest.Eventually(t, "no lag", func() bool {
		res, err := http.Get("http://" + s.cfg.Addr + "/revenue")
		if err != nil {
			return false
		}
		defer res.Body.Close()
		return res.StatusCode == http.StatusOK && res.Header.Get("X-Projection-Lag") == "0"
	})
}
