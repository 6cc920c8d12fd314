package operators

import (
	"context"
	"time"

	"eventshop.example/pkg/operator/operatorapi"
)

// Outbox returns the state of the group's outbox.
func (c *Client) Outbox(ctx context.Context) (Outbox, error) {
	return decode[Outbox](c.api.DescribeOutbox(ctx))
}

// republishWithin bounds publishing a large outbox again.
const republishWithin = time.Hour

// Republish calls [Client.Republish] on one process of the group.
func (g Group) Republish(ctx context.Context, s Selection) (rows int64, err error) {
	return try(ctx, g, republishWithin, false, func(ctx context.Context, c *Client) (int64, error) { return c.Republish(ctx, s) })
}

// Republish publishes rows of the group's outbox again, with their original ids, bytes and headers.
// The zero selection selects all rows that are kept. It returns the number of rows.
func (c *Client) Republish(ctx context.Context, s Selection) (rows int64, err error) {
	s.Since, s.Until = s.Since.UTC(), s.Until.UTC()
	answer, err := decode[operatorapi.Republished](c.api.RepublishOutbox(ctx, &operatorapi.RepublishOutboxParams{XOperator: c.actor}, s))
	return answer.Rows, err
}

// Hold pauses the group's outbox until [Client.Release]: it publishes nothing. Hold returns when
// the relays have stopped.
func (c *Client) Hold(ctx context.Context, reason string) error {
	return done(c.api.HoldOutbox(ctx, &operatorapi.HoldOutboxParams{XOperator: c.actor}, operatorapi.HoldRequest{Reason: reason}))
}

// Release ends a hold.
func (c *Client) Release(ctx context.Context) error {
	return done(c.api.ReleaseOutbox(ctx, &operatorapi.ReleaseOutboxParams{XOperator: c.actor}))
}

// HoldWithin bounds the time that the relays take to stop and to confirm it.
const HoldWithin = 30 * time.Second

// Hold calls [Client.Hold] on one process of the group.
func (g Group) Hold(ctx context.Context, reason string) error {
	_, err := try(ctx, g, HoldWithin, true, func(ctx context.Context, c *Client) (struct{}, error) { return struct{}{}, c.Hold(ctx, reason) })
	return err
}

// Release calls [Client.Release] on one process of the group.
func (g Group) Release(ctx context.Context) error {
	_, err := try(ctx, g, HoldWithin, true, func(ctx context.Context, c *Client) (struct{}, error) { return struct{}{}, c.Release(ctx) })
	return err
}

// Relay returns what relays the group's events, and how many of the events up to a sequence number
// are unpublished.
func (c *Client) Relay(ctx context.Context, upTo int64) (Relay, error) {
	return decode[Relay](c.api.DescribeRelay(ctx, &operatorapi.DescribeRelayParams{UpTo: &upTo}))
}

// SetRelay changes what relays the group's events. slot belongs to Debezium. A *[jsonhttp.Problem]
// with status 409 means that the service sees why not.
func (c *Client) SetRelay(ctx context.Context, mode RelayMode, slot string) error {
	return done(c.api.SetRelay(ctx, &operatorapi.SetRelayParams{XOperator: c.actor}, operatorapi.RelayChange{Mode: mode, Slot: slot}))
}
