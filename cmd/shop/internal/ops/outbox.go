package ops

import (
	"context"
	"net/http"
	"time"
)

// Outbox describes the outbox of a service's database.
type Outbox struct {
	Unpublished int64       `json:"unpublished"`
	OldestAge   float64     `json:"oldestAgeSeconds"` // of the unpublished ones
	Published   int64       `json:"published"`        // kept, so that they can be published again
	OldestKept  *time.Time  `json:"oldestKept,omitempty"`
	Partitions  []Partition `json:"partitions"`
	Leases      []Lease     `json:"leases"`
	Topics      []Backlog   `json:"topics"`
	Refused     []Refused   `json:"refused"`
}

// Refused is what the broker refused a record of, and what waits behind it.
type Refused struct {
	Topic    string    `json:"topic"`
	Key      string    `json:"key,omitempty"`
	Whole    bool      `json:"wholeTopic,omitempty"`
	Reason   string    `json:"reason"`
	Since    time.Time `json:"since"`
	Attempts int       `json:"attempts"`
	NextTry  time.Time `json:"nextTry"`
}

// Partition is one day of the outbox's table.
type Partition struct {
	Name  string `json:"name"`
	From  string `json:"from"`
	To    string `json:"to"`
	Rows  int64  `json:"rows"` // estimated
	Bytes int64  `json:"bytes"`
}

// Lease says which relay publishes a shard of the outbox.
type Lease struct {
	Shard   int       `json:"shard"`
	Owner   string    `json:"owner"`
	Expires time.Time `json:"expires"`
}

// Backlog is what of one topic is unpublished.
type Backlog struct {
	Topic       string `json:"topic"`
	Unpublished int64  `json:"unpublished"`
}

// Selection says which published rows of an outbox are to be published again. The zero
// value selects all that are kept.
type Selection struct {
	Topics []string
	Since  time.Time // created at or after
	Until  time.Time // created before
	DryRun bool      // count only
}

// Outbox describes the group's outbox.
func (c *Client) Outbox(ctx context.Context) (o Outbox, err error) {
	return o, c.get(ctx, "/outbox", nil, &o)
}

// republishWithin is what publishing a large outbox again may take.
const republishWithin = time.Hour

// Republish is Client.Republish by one process of the group.
func (g Group) Republish(ctx context.Context, s Selection) (rows int64, err error) {
	return try(ctx, g, republishWithin, false, func(ctx context.Context, c *Client) (int64, error) { return c.Republish(ctx, s) })
}

// Republish has rows of the group's outbox published again, with the ids, bytes and
// headers they had, and returns how many.
func (c *Client) Republish(ctx context.Context, s Selection) (rows int64, err error) {
	in := struct {
		Topics []string `json:"topics,omitempty"`
		Since  string   `json:"since,omitempty"`
		Until  string   `json:"until,omitempty"`
		DryRun bool     `json:"dryRun,omitempty"`
	}{s.Topics, stamp(s.Since), stamp(s.Until), s.DryRun}
	var out struct {
		Rows int64 `json:"rows"`
	}
	err = c.do(ctx, http.MethodPost, "/outbox/republish", in, &out)
	return out.Rows, err
}

// Hold lets the group's outbox publish nothing until Release. It answers when the relays
// have stopped.
func (c *Client) Hold(ctx context.Context, reason string) error {
	return c.do(ctx, http.MethodPost, "/outbox/hold", struct {
		Reason string `json:"reason"`
	}{reason}, nil)
}

// Release ends a hold.
func (c *Client) Release(ctx context.Context) error {
	return c.do(ctx, http.MethodPost, "/outbox/release", nil, nil)
}

// holdWithin is what the relays may take to stop, and to say so.
const holdWithin = 30 * time.Second

// Hold is Client.Hold by one process of the group.
func (g Group) Hold(ctx context.Context, reason string) error {
	_, err := try(ctx, g, holdWithin, true, func(ctx context.Context, c *Client) (struct{}, error) { return struct{}{}, c.Hold(ctx, reason) })
	return err
}

// Release is Client.Release by one process of the group.
func (g Group) Release(ctx context.Context) error {
	_, err := try(ctx, g, holdWithin, true, func(ctx context.Context, c *Client) (struct{}, error) { return struct{}{}, c.Release(ctx) })
	return err
}
