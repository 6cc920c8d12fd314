package load

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"sync"
	"time"
)

// Mix is the load of a demo: a steady stream of orders, some of which are declined, out of stock or
// cancelled by their customer. Each order is followed until its saga has decided.
type Mix struct {
	Order     string // base URL of the order service
	Inventory string // base URL; receives the ordered pieces as new stock; "" for none, and the stock runs out
	Gateway   string // base URL of the sandbox's; declines a customer's card; "" for none
	PerSecond int
	Orders    int           // the number of orders; 0: until ctx ends
	Saga      Styles        // of the orders
	Patience  time.Duration // for an order's saga to decide; also for an answer
}

// Counts are the outcomes of a mix's orders.
type Counts struct {
	Placed    int            // answered with 201
	Confirmed int            // or further: shipped, delivered
	Cancelled map[string]int // by reason
	Waiting   int            // placed, but the saga has not decided
	Failed    map[string]int // errors, by the attempted step
	Example   string         // the last error in full, "" if there is none
}

// Failures returns the number of errors.
func (c Counts) Failures() (n int) {
	for _, f := range c.Failed {
		n += f
	}
	return n
}

// The parts of a mix, in turn. A round buys roundPieces of mixSKU.
const (
	mixSKU      = "WIDGET-01"
	roundPieces = 11
	maxWaiting  = 1000 // orders followed at once; at this number, no more are placed until some are decided
)

type part struct {
	order   Order
	cancels bool // the customer, at once
}

func round() []part {
	buys := func(customer string, quantity int) part {
		return part{order: Order{Customer: customer, SKU: mixSKU, Quantity: quantity}}
	}
	regret := buys("load-hesitant", 1)
	regret.cancels = true
	return []part{
		buys("load-ada", 1), buys("load-grace", 2), buys("load-alan", 1), buys(declinedCustomer, 1), buys("load-ada", 3),
		{order: Order{Customer: "load-grace", SKU: "UNICORN-00", Quantity: 1000}}, buys("load-alan", 1), regret, buys("load-grace", 1),
	}
}

// declinedCustomer has a card that is declined, if there is a gateway.
const declinedCustomer = "load-declined"

// mixing is a mix under way.
type mixing struct {
	Mix
	run  int64 // the keys of an earlier run are used up
	http *Client

	mu     sync.Mutex
	counts Counts
}

// Run places the orders. It returns the outcomes when all are decided or, without a number, when
// ctx ends. It calls report at the given interval, never concurrently.
func (m Mix) Run(ctx context.Context, every time.Duration, report func(Counts)) Counts {
	x := &mixing{Mix: m, run: time.Now().UnixNano(), http: NewClient(),
		counts: Counts{Cancelled: map[string]int{}, Failed: map[string]int{}}}
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		x.place(ctx)
	}()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			report(x.now())
		case <-finished:
			return x.now()
		}
	}
}

func (x *mixing) now() Counts {
	x.mu.Lock()
	defer x.mu.Unlock()
	c := x.counts
	c.Cancelled, c.Failed = maps.Clone(c.Cancelled), maps.Clone(c.Failed)
	return c
}

// place places the orders. It returns when each has been followed to its end.
func (x *mixing) place(ctx context.Context) {
	var customers sync.WaitGroup
	defer customers.Wait()
	slots := make(chan struct{}, maxWaiting)
	tick := time.NewTicker(time.Second / time.Duration(x.PerSecond))
	defer tick.Stop()
	parts := round()
	for n := 0; x.Orders == 0 || n < x.Orders; n++ {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		if n%len(parts) == 0 && x.Inventory != "" {
			customers.Go(func() { x.receive(ctx, n) })
		}
		customers.Go(func() {
			defer func() { <-slots }()
			x.customer(ctx, n, parts[n%len(parts)])
		})
	}
}

// receive adds the stock that one round takes.
func (x *mixing) receive(ctx context.Context, n int) {
	url := x.Inventory + "/stock/" + mixSKU + "/receipts"
	_, err := x.insist(ctx, url, fmt.Sprintf(`{"quantity":%d}`, roundPieces), fmt.Sprintf("receipt-%d-%d", x.run, n), http.StatusCreated)
	x.failed(ctx, "goods received", err)
}

// customer places one order, may cancel it, and watches it.
func (x *mixing) customer(ctx context.Context, n int, p part) {
	if p.order.Customer == declinedCustomer {
		x.decline(ctx)
	}
	p.order.Saga = x.Saga.of(n)
	key := fmt.Sprintf("mix-%d-%d", x.run, n)
	a, err := x.insist(ctx, x.Order+"/orders", p.order.Body(), key, http.StatusCreated)
	if x.failed(ctx, "order placed", err) {
		return
	}
	x.count(func(c *Counts) { c.Placed++; c.Waiting++ })
	defer x.count(func(c *Counts) { c.Waiting-- })
	id := a.OrderID()
	if p.cancels {
		// 409: the parcel has already left.
		_, err := x.insist(ctx, x.Order+"/orders/"+id+"/cancel", "", key+"-cancel", http.StatusOK, http.StatusAccepted, http.StatusConflict)
		if x.failed(ctx, "order cancelled", err) {
			return
		}
	}
	x.failed(ctx, "order decided", x.watch(ctx, id, p.cancels))
}

// decline sets the rule at the gateway each time, because a restarted gateway has lost its rules.
func (x *mixing) decline(ctx context.Context) {
	if x.Gateway == "" {
		return
	}
	rule := fmt.Sprintf(`{"id":%q,"match":{"customerId":%q},"decline":"insufficient_funds"}`, declinedCustomer, declinedCustomer)
	a, err := x.http.Send(ctx, http.MethodPost, x.Gateway+"/faults", rule)
	if err == nil && a.Status/100 != 2 {
		err = fmt.Errorf("%d %s", a.Status, a.Body)
	}
	x.failed(ctx, "card declined", err)
}

// watch polls an order until its saga has decided, and counts the outcome. If the customer
// cancels, CONFIRMED is not yet the outcome.
func (x *mixing) watch(ctx context.Context, id string, cancels bool) error {
	ctx, cancel := context.WithTimeout(ctx, x.Patience)
	defer cancel()
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	var order struct {
		Status    string
		Cancelled struct{ Reason string }
	}
	for {
		a, err := x.http.Send(ctx, http.MethodGet, x.Order+"/orders/"+id, "")
		if err == nil && a.Status == http.StatusNotFound {
			return fmt.Errorf("order %s was promised and is not there", id)
		}
		if err == nil && a.Status == http.StatusOK {
			if err := json.Unmarshal(a.Body, &order); err != nil {
				return fmt.Errorf("order %s: %w", id, err)
			}
		}
		switch {
		case order.Status == "CANCELLED":
			x.count(func(c *Counts) { c.Cancelled[order.Cancelled.Reason]++ })
			return nil
		case order.Status == "SHIPPED", order.Status == "DELIVERED", order.Status == "CONFIRMED" && !cancels:
			x.count(func(c *Counts) { c.Confirmed++ })
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("order %s is %q after %s", id, order.Status, x.Patience)
		}
	}
}

func (x *mixing) insist(ctx context.Context, url, body, key string, want ...int) (Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, x.Patience)
	defer cancel()
	return x.http.Insist(ctx, func() string { return url }, body, key, want...)
}

func (x *mixing) count(change func(*Counts)) {
	x.mu.Lock()
	defer x.mu.Unlock()
	change(&x.counts)
}

// failed counts an error, unless the load was ended in the middle.
func (x *mixing) failed(ctx context.Context, what string, err error) bool {
	if err != nil && ctx.Err() == nil {
		x.count(func(c *Counts) { c.Failed[what]++; c.Example = what + ": " + err.Error() })
	}
	return err != nil
}
