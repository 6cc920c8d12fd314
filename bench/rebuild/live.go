package rebuild

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/bench/infra"
)

// Live is a filling while events are published and clients read.
type Live struct {
	Filled      time.Duration // from the operator's request until the consumer feeds the version
	Published   int64         // events, while it was filled and until after the switch
	Switched    time.Duration // the operator's request that switches, with its comparison
	Lag         time.Duration // the oldest event that was not applied, at the latest read before the switch
	Reads       int64
	Errors      int64 // reads whose answer was not 200
	First       error // the first of them
	Stale       int64 // reads whose answer had less than the client had written or read before
	Longest     time.Duration
	Compared    int64 // rows that a comparison of the versions had, before the switch and at the end
	Differences int64 // of these
}

// perSecond is how many events are published per second, in tens.
const perSecond = 400

// Live lets the service read the topics and fill all versions but one. Then it fills the revenue's version 2
// while events are published and clients read, switches to it, and compares the versions before and after.
func (b *Bench) Live(ctx context.Context, t *Topics, note func(string)) (l *Live, err error) {
	b.databases++
	f := &Filled{Name: fmt.Sprintf("filling%d", b.databases), bench: b}
	s := Settings{Registry: b.In.Registry, Brokers: t.Brokers()}
	if s.DatabaseURL, err = b.In.Server.Create(ctx, f.Name); err != nil {
		return nil, err
	}
	if err := t.forget(ctx); err != nil {
		return nil, err
	}
	process, err := b.Program.Start(ctx, s)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, process.Stop(), b.In.Server.Drop(context.WithoutCancel(ctx), f.Name)) }()
	note("the consumer reads the topics")
	for _, name := range []string{"customer_orders", "customer_activity"} {
		if err := process.becomes(ctx, name, 1, "live"); err != nil {
			return nil, err
		}
	}
	if err := process.handled(ctx, t); err != nil {
		return nil, err
	}
	note("filling while events are published and clients read")
	r := &reading{process: process, live: &Live{}}
	load, stop := context.WithCancel(ctx)
	defer stop()
	var under sync.WaitGroup
	var failed [2]error
	before := t.Events
	under.Go(func() { failed[0] = t.trickle(load, r.wrote) })
	under.Go(func() { failed[1] = r.run(load) })
	err = r.rebuild(ctx)
	stop()
	under.Wait()
	if err = errors.Join(err, failed[0], failed[1]); err != nil {
		return nil, err
	}
	r.live.Published = t.Events - before
	if err := process.handled(ctx, t); err != nil {
		return nil, err
	}
	if err := r.compare(ctx, 1); err != nil {
		return nil, err
	}
	return r.live, r.sums(ctx, t.Sums)
}

// reading is the clients of a service during a filling.
type reading struct {
	process *Process
	live    *Live

	mu      sync.Mutex
	order   string // whose event was published last
	version int64  // of that event
	lag     time.Duration
}

// wrote notes an order's own event that is on its topic.
func (r *reading) wrote(order string, version int64) {
	r.mu.Lock()
	r.order, r.version = order, version
	r.mu.Unlock()
}

// run reads the revenue and, with its version, the order that was written last, in turns.
func (r *reading) run(ctx context.Context) error {
	var payments int64
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for ctx.Err() == nil {
		var days revenue
		_, ok, err := r.read(ctx, allRevenue, &days)
		if err != nil {
			return err
		}
		if n := days.payments(); ok && n < payments {
			r.live.Stale++
		} else if ok {
			payments = n
		}
		r.mu.Lock()
		order, version := r.order, r.version
		r.mu.Unlock()
		if order != "" {
			header, ok, err := r.read(ctx, fmt.Sprintf("/orders/%s?minVersion=%d", order, version), nil)
			if err != nil {
				return err
			}
			if got, _ := strconv.ParseInt(header.Get("Order-Version"), 10, 64); ok && got < version {
				r.live.Stale++
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	return nil
}

// read sends a query. ok is false when the answer is not 200, which is counted.
func (r *reading) read(ctx context.Context, path string, into any) (h http.Header, ok bool, err error) {
	began := time.Now()
	h, err = getWith(ctx, r.process.URL+path, into)
	if ctx.Err() != nil {
		return h, false, nil // the load has ended
	}
	r.live.Reads++
	r.live.Longest = max(r.live.Longest, time.Since(began))
	if err != nil {
		r.live.Errors++
		r.live.First = cmp.Or(r.live.First, err)
		return h, false, nil
	}
	ms, err := strconv.ParseInt(h.Get("X-Projection-Lag"), 10, 64)
	r.mu.Lock()
	r.lag = time.Duration(ms) * time.Millisecond
	r.mu.Unlock()
	return h, err == nil, err
}

// allRevenue is the query of the days of all histories.
const allRevenue = "/revenue?from=2026-10-01&to=2027-09-30"

// revenue is the answer to a query of the revenue.
type revenue struct {
	Days []struct{ Payments, Refunds int64 }
}

func (d revenue) payments() (n int64) {
	for _, day := range d.Days {
		n += day.Payments
	}
	return n
}

// rebuild fills version 2, compares, and switches.
func (r *reading) rebuild(ctx context.Context) error {
	began := time.Now()
	if err := r.process.Operate(ctx, "revenue", "rebuild", 2); err != nil {
		return err
	}
	if err := r.process.becomes(ctx, "revenue", 2, "following"); err != nil {
		return err
	}
	r.live.Filled = time.Since(began)
	if err := r.compare(ctx, 2); err != nil {
		return err
	}
	r.mu.Lock()
	r.live.Lag = r.lag
	r.mu.Unlock()
	began = time.Now()
	if err := r.process.Operate(ctx, "revenue", "switch", 2); err != nil {
		return err
	}
	r.live.Switched = time.Since(began)
	return infra.Wait(ctx, time.Second) // clients read the new version for a while
}

// compare compares a version with the live one.
func (r *reading) compare(ctx context.Context, version int) error {
	var d struct {
		Compared []struct{ Rows, Differences int64 }
		Failures int64
	}
	if err := get(ctx, fmt.Sprintf("%s/projections/revenue/diff?version=%d", r.process.operator, version), &d); err != nil {
		return err
	}
	if len(d.Compared) == 0 || d.Failures > 0 {
		return fmt.Errorf("the comparison of the revenue with version %d is %+v", version, d)
	}
	for _, c := range d.Compared {
		r.live.Compared, r.live.Differences = r.live.Compared+c.Rows, r.live.Differences+c.Differences
	}
	return nil
}

// sums compares the answer about the revenue with what was published.
func (r *reading) sums(ctx context.Context, s Sums) error {
	var days revenue
	if err := get(ctx, r.process.URL+allRevenue, &days); err != nil {
		return err
	}
	if got := days.payments(); got != s.Payments {
		return fmt.Errorf("the revenue has %d payments, and %d were published", got, s.Payments)
	}
	return nil
}

// trickle publishes events until ctx ends, and calls wrote after each order's own event.
func (t *Topics) trickle(ctx context.Context, wrote func(order string, version int64)) (err error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(t.run.Brokers...))
	if err != nil {
		return err
	}
	defer client.Close()
	defer func() {
		ends, failed := endsOf(context.WithoutCancel(ctx), client)
		t.ends, err = ends, errors.Join(err, failed)
	}()
	tick := time.NewTicker(time.Second * 10 / perSecond)
	defer tick.Stop()
	var records []*kgo.Record
	for e, version := range Histories(1<<30, int(t.Orders), &t.Sums) {
		r, err := Record(context.WithoutCancel(ctx), t.codec, e, version)
		if err != nil {
			return err
		}
		if records = append(records, r); len(records) < 10 {
			continue
		}
		if err := client.ProduceSync(context.WithoutCancel(ctx), records...).FirstErr(); err != nil {
			return err
		}
		if r.Topic == read()[0] {
			wrote(string(r.Key), version)
		}
		records = records[:0]
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
	return nil
}
