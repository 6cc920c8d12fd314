package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/bench/measure"
	"eventshop.example/bench/report"
	"eventshop.example/bench/shop"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
)

// The sides of the benchmark: the values of NOTIFICATION_STYLE.
const (
	byNotification = "notification"
	byState        = "state"
)

const (
	// outageOrders is how many orders wait for their mails when the order service goes away.
	outageOrders = 20
	// outageLasts is how long it is away after the notification service is ready. The breaker needs
	// less than a second to open, and the first mails of the other style need less.
	outageLasts = 5 * time.Second
)

// notify measures the mails of the notification service in both styles, in turns: what an order costs
// on the topic and in callbacks, how late its mail is, and what an outage of the order service does.
// Both styles must send the same mails.
func notify(ctx context.Context, e *env, r *report.Result) error {
	programs, err := e.shops(ctx)
	if err != nil {
		return err
	}
	r.Sides = []string{byNotification, byState}
	texts := map[string][]string{}
	for round := range e.rounds {
		for _, style := range measure.Turns(round, r.Sides) {
			e.progress.Step("notification, round %d of %d, %s", round+1, e.rounds, style)
			s, err := programs[0].Up(ctx, "--env", "notification.NOTIFICATION_STYLE="+style)
			if err != nil {
				return err
			}
			texts[style], err = e.notified(ctx, r, s, style)
			if err := errors.Join(err, s.Down(ctx)); err != nil {
				return fmt.Errorf("round %d, %s: %w", round+1, style, err)
			}
		}
		if !slices.Equal(texts[byNotification], texts[byState]) {
			return errors.New("the styles sent different mails about the same orders")
		}
	}
	return nil
}

// notified measures one style in a running shop. It returns the texts of the mails, without the ids of
// their orders, sorted.
func (e *env) notified(ctx context.Context, r *report.Result, s *shop.Stack, style string) ([]string, error) {
	f, err := s.Follow(ctx)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := s.Stock(ctx); err != nil {
		return nil, err
	}
	if err := e.warm(ctx, s, f); err != nil {
		return nil, err
	}
	before, err := callbacks(ctx, s)
	if err != nil {
		return nil, err
	}
	load := shop.Load{Orders: e.size(120, 480), Clients: clients, PerSecond: 12}
	placed, err := s.Place(ctx, load, func(n int) { e.progress.Note("%d of %d orders accepted", n, load.Orders) })
	if err != nil {
		return nil, err
	}
	arrived, err := awaitMails(ctx, s, placed.Orders)
	if err != nil {
		return nil, err
	}
	after, err := callbacks(ctx, s)
	if err != nil {
		return nil, err
	}
	var late []time.Duration
	var texts []string
	for _, o := range placed.Orders {
		m := arrived[o.ID]
		placedAt, err := placedAt(ctx, s, o.ID)
		if err != nil {
			return nil, err
		}
		late, texts = append(late, m.At.Sub(placedAt)), append(texts, strings.ReplaceAll(m.Text, o.ID, "…"))
	}
	slices.Sort(texts)
	value, whole, err := bytesOf(ctx, s, style, placed.Orders)
	if err != nil {
		return nil, err
	}
	answer, err := get(ctx, s.URLs["order"]+"/orders/"+placed.Orders[0].ID)
	if err != nil {
		return nil, err
	}
	n := float64(len(placed.Orders))
	perOrder := (after - before) / n
	r.Row("payload of the event", "bytes per order", report.Count).Add(style, value/n)
	r.Row("the whole record, with key and headers", "bytes per order", report.Count).Add(style, whole/n)
	r.Row("callbacks", "per order", report.Count).Add(style, perOrder)
	r.Row("bodies of the callbacks' answers", "bytes per order", report.Count).Add(style, perOrder*float64(len(answer)))
	r.Row("order placed → mail p50", "ms", report.Time).Add(style, measure.Quantile(late, .5))
	r.Row("order placed → mail p99", "ms", report.Time).Add(style, measure.Quantile(late, .99))
	if err := f.AwaitDelivered(ctx, warmup+load.Orders, func(int, int) {}); err != nil {
		return nil, err
	}
	if err := e.outage(ctx, r, s, f, style, warmup+load.Orders); err != nil {
		return nil, fmt.Errorf("outage of the order service: %w", err)
	}
	return texts, e.verified(ctx, r, s, style)
}

// outage stops the order service while the events of some orders are not handled by the notification
// service, and starts it again.
func (e *env) outage(ctx context.Context, r *report.Result, s *shop.Stack, f *shop.Follower, style string, delivered int) error {
	if err := s.Stop(ctx, "notification"); err != nil {
		return err
	}
	placed, err := s.Place(ctx, shop.Load{Orders: outageOrders, Clients: clients}, func(int) {})
	if err != nil {
		return err
	}
	if err := f.AwaitDelivered(ctx, delivered+outageOrders, func(int, int) {}); err != nil {
		return err
	}
	if err := s.Stop(ctx, "order"); err != nil { // its relay has published everything, or does so now
		return err
	}
	if err := s.Start(ctx, "notification"); err != nil {
		return err
	}
	e.progress.Note("the order service is away")
	if err := wait(ctx, outageLasts); err != nil {
		return err
	}
	during, err := mailsOf(ctx, s)
	if err != nil {
		return err
	}
	count := 0
	for _, o := range placed.Orders {
		if _, ok := during[o.ID]; ok {
			count++
		}
	}
	if err := s.Start(ctx, "order"); err != nil {
		return err
	}
	back := time.Now()
	all, err := awaitMails(ctx, s, placed.Orders)
	if err != nil {
		return err
	}
	last := time.Duration(0)
	for _, o := range placed.Orders {
		last = max(last, all[o.ID].At.Sub(back))
	}
	r.Row("order service away: mails sent meanwhile", fmt.Sprintf("of %d", outageOrders), report.Count).Add(style, float64(count))
	r.Row("order service away: last mail after it is back", "s", report.Time).Add(style, last.Seconds())
	return nil
}

// arrival is a mail in the mailbox.
type arrival struct {
	Seq           int64
	At            time.Time
	OrderID, Text string
}

// mailsOf returns the mails that have arrived, by order. Two mails of an order are an error.
func mailsOf(ctx context.Context, s *shop.Stack) (map[string]arrival, error) {
	all := map[string]arrival{}
	for after := int64(0); ; {
		var page struct{ Mails []arrival }
		body, err := get(ctx, s.URLs["mailbox"]+"/v1/mails?"+url.Values{"after": {strconv.FormatInt(after, 10)}}.Encode())
		if err == nil {
			err = json.Unmarshal(body, &page)
		}
		if err != nil {
			return nil, fmt.Errorf("read the mailbox: %w", err)
		}
		if len(page.Mails) == 0 {
			return all, nil
		}
		for _, m := range page.Mails {
			if _, twice := all[m.OrderID]; twice {
				return nil, fmt.Errorf("order %s has two mails", m.OrderID)
			}
			all[m.OrderID], after = m, m.Seq
		}
	}
}

// awaitMails waits until every order has its mail.
func awaitMails(ctx context.Context, s *shop.Stack, orders []shop.Placed) (map[string]arrival, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for {
		all, err := mailsOf(ctx, s)
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(orders, func(o shop.Placed) bool { return all[o.ID].Seq == 0 }) {
			return all, nil
		}
		if err := wait(ctx, 100*time.Millisecond); err != nil {
			return nil, fmt.Errorf("wait for %d mails: %w", len(orders), err)
		}
	}
}

// placedAt returns when an order was placed, as its event says.
func placedAt(ctx context.Context, s *shop.Stack, id string) (time.Time, error) {
	var m struct{ PlacedAt time.Time }
	body, err := get(ctx, s.URLs["notification"]+"/mails/"+id)
	if err == nil {
		err = json.Unmarshal(body, &m)
	}
	return m.PlacedAt, err
}

// callbacks returns how often the notification service has called the order service.
func callbacks(ctx context.Context, s *shop.Stack) (float64, error) {
	body, err := get(ctx, s.URLs["notification"]+"/metrics")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(body)) {
		if text, ok := strings.CutPrefix(line, "eventshop_mail_callbacks_total "); ok {
			return strconv.ParseFloat(strings.TrimSpace(text), 64)
		}
	}
	return 0, errors.New("the notification service counts no callbacks")
}

// bytesOf returns the bytes of the events that a style reacts to, of the orders: of their payloads, and
// of the whole records.
func bytesOf(ctx context.Context, s *shop.Stack, style string, orders []shop.Placed) (value, whole float64, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	typ := events.TypeOf[events.OrderPlaced]()
	if style == byState {
		typ = events.TypeOf[events.OrderCreated]()
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(s.Kafka...), kgo.ConsumeTopics(typ.Topic))
	if err != nil {
		return 0, 0, err
	}
	defer client.Close()
	left := map[string]bool{}
	for _, o := range orders {
		left[o.ID] = true
	}
	for len(left) > 0 {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return 0, 0, fmt.Errorf("read %s: %w", typ.Topic, err)
		}
		fetches.EachRecord(func(rec *kgo.Record) {
			size, ours := len(rec.Key)+len(rec.Value), false
			for _, h := range rec.Headers {
				size += len(h.Key) + len(h.Value)
				ours = ours || h.Key == event.HeaderType && string(h.Value) == typ.Name
			}
			if id := string(rec.Key); ours && left[id] {
				delete(left, id)
				value, whole = value+float64(len(rec.Value)), whole+float64(size)
			}
		})
	}
	return value, whole, nil
}

func get(ctx context.Context, address string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return nil, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("GET %s: %d", address, res.StatusCode)
	}
	return body, err
}

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
