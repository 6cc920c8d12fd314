package operators

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"eventshop.example/ops/jsonhttp"
	"eventshop.example/pkg/operator/operatorapi"
)

// MaxPage is the largest page size of the services' lists.
const MaxPage = 500

// Client calls the operator listener of one process.
type Client struct {
	api   *operatorapi.Client
	actor string
}

// NewClient returns a client of the listener at a base URL. actor is the operator that the services
// record. http may be nil, see [jsonhttp.New].
func NewClient(base, actor string, http *http.Client) *Client {
	base = strings.TrimSuffix(base, "/")
	return &Client{api: &operatorapi.Client{Server: base + "/", Client: jsonhttp.New(base, http)}, actor: actor}
}

// decode decodes the response of a generated call.
func decode[T any](res *http.Response, err error) (out T, _ error) {
	if err != nil {
		return out, err
	}
	return out, jsonhttp.Decode(res, &out)
}

// done ends a generated call whose response has no content.
func done(res *http.Response, err error) error {
	if err != nil {
		return err
	}
	return jsonhttp.Decode(res, nil)
}

// optional returns nil for the zero value, which the request then omits.
func optional[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

// DeadLetters returns up to limit dead letters after the one with the id after.
func (c *Client) DeadLetters(ctx context.Context, f Filter, after string, limit int) (Page, error) {
	return decode[Page](c.api.ListDeadLetters(ctx, f.params(after, limit)))
}

// DeadLetter returns one dead letter. A *[jsonhttp.Problem] with status 404 means that the group has
// no dead letter with this id.
func (c *Client) DeadLetter(ctx context.Context, id string) (Detail, error) {
	return decode[Detail](c.api.GetDeadLetter(ctx, id))
}

// Edit repairs an open dead letter and returns the repaired one. The service keeps the original
// record. A *[jsonhttp.Problem] with status 422 names the invalid field.
func (c *Client) Edit(ctx context.Context, id string, e Edit) (Detail, error) {
	return decode[Detail](c.api.EditDeadLetter(ctx, id, &operatorapi.EditDeadLetterParams{XOperator: c.actor}, e))
}

// Resubmit resubmits a dead letter. If the dead letter is not open, nothing changes and the outcome
// has no effect.
func (c *Client) Resubmit(ctx context.Context, id, reason string, dryRun bool) (Outcome, error) {
	return decode[Outcome](c.api.ResubmitDeadLetter(ctx, id, &operatorapi.ResubmitDeadLetterParams{XOperator: c.actor},
		operatorapi.Resubmission{Reason: reason, DryRun: dryRun}))
}

// Discard gives an open dead letter up for good and lets the records behind it continue.
func (c *Client) Discard(ctx context.Context, id, reason string, dryRun bool) (Outcome, error) {
	return decode[Outcome](c.api.DiscardDeadLetter(ctx, id, &operatorapi.DiscardDeadLetterParams{XOperator: c.actor},
		operatorapi.Discard{Reason: reason, DryRun: dryRun}))
}

// Stats counts the group's dead letters and parked keys.
func (c *Client) Stats(ctx context.Context) (Stats, error) {
	return decode[Stats](c.api.DeadLetterStats(ctx))
}

// Parked lists up to limit parked keys, those that have been parked longest.
func (c *Client) Parked(ctx context.Context, limit int) ([]ParkedKey, error) {
	answer, err := decode[operatorapi.ParkedKeys](c.api.ListParkedKeys(ctx, &operatorapi.ListParkedKeysParams{Limit: optional(int32(limit))}))
	return answer.ParkedKeys, err
}

// ParkedOf returns what is parked under a key, on all topics. A process of an earlier release cannot
// select by key; then it is an error if it lists fewer keys than it has.
func (c *Client) ParkedOf(ctx context.Context, key string) ([]ParkedKey, error) {
	answer, err := decode[operatorapi.ParkedKeys](c.api.ListParkedKeys(ctx, &operatorapi.ListParkedKeysParams{Key: &key}))
	if jsonhttp.StatusOf(err) != http.StatusBadRequest {
		return answer.ParkedKeys, err
	}
	all, err := c.Parked(ctx, MaxPage)
	if err == nil && len(all) == MaxPage {
		err = fmt.Errorf("it cannot select by key, and has more parked keys than the %d it lists", MaxPage)
	}
	return slices.DeleteFunc(all, func(k ParkedKey) bool { return k.KeyText() != key }), err
}

// Breakers returns the circuit breakers of the process. Most services call no external system and
// have none. A process without this list is no error.
func (c *Client) Breakers(ctx context.Context) ([]Breaker, error) {
	answer, err := decode[operatorapi.Breakers](c.api.ListBreakers(ctx))
	if jsonhttp.StatusOf(err) == http.StatusNotFound {
		return nil, nil
	}
	return answer.Breakers, err
}

// Skip asks the group to pass over a record that blocks its partition because it cannot be stored.
// A *[jsonhttp.Problem] with status 409 means that the record has a dead letter.
func (c *Client) Skip(ctx context.Context, topic string, partition int32, offset int64, reason string) (Skip, error) {
	return decode[Skip](c.api.SkipRecord(ctx, &operatorapi.SkipRecordParams{XOperator: c.actor},
		operatorapi.SkipRequest{Topic: topic, Partition: partition, Offset: offset, Reason: reason}))
}

// Skips returns up to limit requests, newest first.
func (c *Client) Skips(ctx context.Context, limit int) ([]Skip, error) {
	answer, err := decode[operatorapi.Skips](c.api.ListSkips(ctx, &operatorapi.ListSkipsParams{Limit: optional(int32(limit))}))
	return answer.Skips, err
}
