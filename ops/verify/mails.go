package verify

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"eventshop.example/ops/jsonhttp"
	"eventshop.example/pkg/events"
)

// mails is a part of I5: each order that was placed since the notification service exists has exactly
// one mail in the mailbox, or none if the mailbox has refused it. An order whose events the service has
// not handled because they failed may have none yet.
func mails(f Facts, r *Finding) {
	delivered, known := map[string]int{}, map[string]bool{}
	for _, order := range f.Mailbox {
		delivered[order]++
	}
	state := map[string]string{}
	for _, m := range f.Mails {
		state[m.OrderID] = m.State
	}
	for _, o := range f.Orders {
		known[o.ID] = true
	}
	placed := placedAt(f)
	held := holding(f, mailer)
	for _, id := range keys(known, nil) {
		at, published := placed[id]
		old := published && at.Before(f.MailsSince)
		switch n := delivered[id]; {
		case n > 1:
			r.breach("order %s: %d mails arrived", id, n)
		case n == 1 && old:
			r.breach("order %s: a mail arrived, and the order is from before the notification service", id)
		case n == 1 && state[id] != "SENT":
			r.breach("order %s: a mail arrived, and its row is %q", id, state[id])
		case n == 0 && state[id] == "SENT":
			r.breach("order %s: its mail is SENT and did not arrive", id)
		case n == 0 && published && !old && !held[id] && state[id] != "REFUSED":
			r.breach("order %s: no mail arrived, and its row is %q", id, state[id])
		}
	}
}

// placedAt returns when each order was placed, by its events on the topics.
func placedAt(f Facts) map[string]time.Time {
	at := map[string]time.Time{}
	for _, rec := range f.Records {
		if !sound(rec) {
			continue
		}
		switch e := rec.Event.(type) {
		case *events.OrderCreated:
			at[e.OrderID] = e.OccurredAt
		case *events.OrderPlaced:
			at[e.OrderID] = e.OccurredAt
		}
	}
	return at
}

// mailRows reads the notification service's rows, and since when orders get mails.
func mailRows(ctx context.Context, c *pgx.Conn) (rows []Mail, since time.Time, err error) {
	if err := c.QueryRow(ctx, `SELECT since FROM mailing`).Scan(&since); err != nil {
		return nil, since, err
	}
	rows, err = collect(ctx, c, `SELECT order_id, state FROM mails`, func(r pgx.CollectableRow) (m Mail, err error) {
		return m, r.Scan(&m.OrderID, &m.State)
	})
	return rows, since, err
}

// noMailDue reports whether the notification service has sent every mail.
func noMailDue(ctx context.Context, c *pgx.Conn) (bool, error) {
	var due int
	if err := c.QueryRow(ctx, `SELECT count(*) FROM mails WHERE next_attempt_at IS NOT NULL`).Scan(&due); err != nil {
		return false, fmt.Errorf("mails to send: %w", err)
	}
	return due == 0, nil
}

// mailbox reads the orders of the mails that arrived, page by page, sorted.
func mailbox(ctx context.Context, address string) ([]string, error) {
	orders := []string{}
	api := jsonhttp.New(address, http.DefaultClient)
	for after := int64(0); ; {
		var page struct {
			Mails []struct {
				Seq     int64
				OrderID string
			}
		}
		err := api.Call(ctx, http.MethodGet, "/v1/mails", url.Values{"after": {strconv.FormatInt(after, 10)}}, nil, &page)
		if u, ok := errors.AsType[*jsonhttp.Unreachable](err); ok {
			return nil, &Unreachable{Part: "the mailbox", Address: address, Err: withoutURL(u.Unwrap())}
		}
		if err != nil {
			return nil, fmt.Errorf("read the mailbox: %w", err)
		}
		if len(page.Mails) == 0 {
			slices.Sort(orders)
			return orders, nil
		}
		for _, m := range page.Mails {
			orders, after = append(orders, m.OrderID), m.Seq
		}
	}
}
