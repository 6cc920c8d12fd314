package latency

import (
	"strings"
	"testing"
	"time"
)

func TestQuantileIsTheNearestRank(t *testing.T) {
	t.Parallel()
	var hundred []time.Duration
	for i := range 100 {
		hundred = append(hundred, time.Duration(i+1))
	}
	for _, test := range []struct {
		sorted []time.Duration
		q      float64
		want   time.Duration
	}{
		{nil, .5, none},
		{[]time.Duration{7}, .5, 7},
		{[]time.Duration{7}, .99, 7},
		{[]time.Duration{1, 2}, .5, 1},
		{[]time.Duration{1, 2}, .51, 2},
		{hundred, .5, 50},
		{hundred, .9, 90},
		{hundred, .99, 99},
		{hundred, 0, 1},
		{hundred, 1, 100},
	} {
		if got := quantile(test.sorted, test.q); got != test.want {
			t.Errorf("quantile %v of %d values is %d, want %d", test.q, len(test.sorted), got, test.want)
		}
	}
}

// An order with known times: every hop has another duration.
func TestReportSplitsTheWayOfAnOrder(t *testing.T) {
	t.Parallel()
	at := func(ms int) time.Time {
		return time.UnixMilli(1_700_000_000_000).Add(time.Duration(ms) * time.Millisecond)
	}
	order := sample{sent: at(0), accepted: at(5), steps: []step{
		{appended: at(3), seen: at(7)},
		{appended: at(13), seen: at(15)},
		{appended: at(20), seen: at(23)},
		{appended: at(31), seen: at(32)},
		{appended: at(40), seen: at(46)},
	}}
	var out strings.Builder
	report(&out, Config{Clients: 1, Warmup: 9}, []sample{order, order}, 100*time.Millisecond)

	// The number of spaces depends on the columns' widths.
	var got []string
	for line := range strings.Lines(out.String()) {
		if words := strings.Fields(line); len(words) > 0 {
			got = append(got, strings.Join(words, " "))
		}
	}
	want := []string{
		"2 orders by 1 client(s) after 9 to warm up: 20.0 orders/s",
		"ms p50 p90 p99 max",
		"accepted → CONFIRMED 41.0 41.0 41.0 41.0",
		"POST sent → CONFIRMED 46.0 46.0 46.0 46.0",
		"POST sent → accepted 5.0 5.0 5.0 5.0",
		"hop, ms p50 p99 to topic p50 p99 handled p50 p99",
		"POST sent → OrderCreated 3.0 3.0 - - 3.0 3.0",
		"OrderCreated → PaymentCompleted 10.0 10.0 4.0 4.0 6.0 6.0",
		"PaymentCompleted → InventoryReserved 7.0 7.0 2.0 2.0 5.0 5.0",
		"InventoryReserved → ShipmentScheduled 11.0 11.0 3.0 3.0 8.0 8.0",
		"ShipmentScheduled → OrderConfirmed 9.0 9.0 1.0 1.0 8.0 8.0",
		"OrderConfirmed → seen here 6.0 6.0 6.0 6.0 - -",
	}
	if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
		t.Errorf("got\n%s\nwant\n%s", g, w)
	}
}
