package carrier

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"eventshop.example/pkg/errs"
)

// Update is one line of the tracking feed. A line that cannot be read has only its Seq.
type Update struct {
	Seq        int64     `json:"seq"`
	At         time.Time `json:"at"`
	Key        string    `json:"key"`
	OrderID    string    `json:"orderId"`
	ShipmentID string    `json:"shipmentId"`
	TrackingID string    `json:"trackingId"`
	Carrier    string    `json:"carrier"`
	Status     string    `json:"status"` // UpdateDispatched or UpdateDelivered
}

// The statuses of an Update.
const (
	UpdateDispatched = "dispatched"
	UpdateDelivered  = "delivered"
)

// Updates returns the tracking updates after the sequence number after, at most limit, in the order
// in which they happened. A line that cannot be read keeps its place but has no content, so that it
// does not delay the lines behind it. A line without a sequence number, or out of order, makes the
// whole page an errs.Internal error. So does an answer that violates the API. All other errors are
// Transient. Updates changes nothing at the carrier.
func (c *Client) Updates(ctx context.Context, after int64, limit int) ([]Update, error) {
	return guarded(ctx, c.breakers.Feed, "read tracking feed", func(ctx context.Context) ([]Update, error) {
		return c.updates(ctx, after, limit)
	})
}

func (c *Client) updates(ctx context.Context, after int64, limit int) ([]Update, error) {
	query := url.Values{"after": {strconv.FormatInt(after, 10)}, "limit": {strconv.Itoa(limit)}}
	var page struct {
		Updates []json.RawMessage `json:"updates"`
	}
	status, err := c.request(ctx, http.MethodGet, "/v1/updates?"+query.Encode(), "", nil, &page)
	if unknown(status, err) {
		return nil, errs.New(errs.Transient, "read tracking feed after %d: status %d: %w", after, status, orTrouble(err))
	}
	if err != nil || status != http.StatusOK {
		return nil, errs.New(errs.Internal, "read tracking feed after %d: status %d: %w", after, status, orTrouble(err))
	}
	updates := make([]Update, 0, len(page.Updates))
	last := after
	for _, line := range page.Updates {
		u, err := readUpdate(line)
		if err != nil {
			return nil, errs.New(errs.Internal, "read tracking feed behind %d: %w", last, err)
		}
		if u.Seq <= last {
			return nil, errs.New(errs.Internal, "tracking feed is out of order: %d behind %d", u.Seq, last)
		}
		last = u.Seq
		updates = append(updates, u)
	}
	return updates, nil
}

func readUpdate(line []byte) (Update, error) {
	var u Update
	if json.Unmarshal(line, &u) != nil {
		var place struct {
			Seq int64 `json:"seq"`
		}
		if err := json.Unmarshal(line, &place); err != nil {
			return Update{}, fmt.Errorf("a line without a sequence number: %w", err)
		}
		return Update{Seq: place.Seq}, nil
	}
	u.clean()
	return u, nil
}

func orTrouble(err error) error {
	if err == nil {
		return fmt.Errorf("no such answer is agreed")
	}
	return err
}
