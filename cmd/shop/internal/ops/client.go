package ops

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// MaxPage is the largest page of a list that the services give.
const MaxPage = 500

// headerOperator names who acts; the services record it.
const headerOperator = "X-Operator"

// Client talks to the operator listener of one process.
type Client struct {
	API
	actor string
}

// NewClient returns a client of the listener at a base URL that acts in somebody's name.
// http may be nil, see NewAPI.
func NewClient(base, actor string, http *http.Client) *Client {
	return &Client{API: NewAPI(base, http), actor: actor}
}

func (c *Client) get(ctx context.Context, path string, query url.Values, out any) error {
	return c.Call(ctx, http.MethodGet, path, query, nil, out)
}

func (c *Client) do(ctx context.Context, method, path string, in, out any) error {
	return c.Call(ctx, method, path, nil, in, out, headerOperator, c.actor)
}

// Page is a page of dead letters, oldest first.
type Page struct {
	DeadLetters []Summary `json:"deadLetters"`
	Next        string    `json:"next"` // after of the next page; "" on the last
}

// DeadLetters lists up to limit dead letters behind the one with the id after.
func (c *Client) DeadLetters(ctx context.Context, f Filter, after string, limit int) (p Page, err error) {
	return p, c.get(ctx, "/dead-letters", f.query(after, limit), &p)
}

// DeadLetter returns one dead letter; a *Problem with status 404 says that its group has none
// of this id.
func (c *Client) DeadLetter(ctx context.Context, id string) (d Detail, err error) {
	return d, c.get(ctx, letter(id), nil, &d)
}

// Edit repairs an open dead letter and returns it as it is then. The original record
// stays known. A *Problem with status 422 names the field that does not fit.
func (c *Client) Edit(ctx context.Context, id string, e Edit) (d Detail, err error) {
	return d, c.do(ctx, http.MethodPatch, letter(id), e, &d)
}

// Resubmit has a dead letter tried again. Of one that is not open nothing becomes:
// the outcome has no effect then.
func (c *Client) Resubmit(ctx context.Context, id, reason string, dryRun bool) (o Outcome, err error) {
	return o, c.do(ctx, http.MethodPost, letter(id)+"/resubmit", decision{reason, dryRun}, &o)
}

// Discard gives an open dead letter up for good and lets what waits behind it go on.
func (c *Client) Discard(ctx context.Context, id, reason string, dryRun bool) (o Outcome, err error) {
	return o, c.do(ctx, http.MethodPost, letter(id)+"/discard", decision{reason, dryRun}, &o)
}

type decision struct {
	Reason string `json:"reason,omitempty"`
	DryRun bool   `json:"dryRun,omitempty"`
}

func letter(id string) string { return "/dead-letters/" + url.PathEscape(id) }

// Stats counts the group's dead letters and parked keys.
func (c *Client) Stats(ctx context.Context) (s Stats, err error) {
	return s, c.get(ctx, "/dead-letters/stats", nil, &s)
}

// Parked lists up to limit parked keys.
func (c *Client) Parked(ctx context.Context, limit int) ([]ParkedKey, error) {
	var p struct {
		ParkedKeys []ParkedKey `json:"parkedKeys"`
	}
	err := c.get(ctx, "/parked", url.Values{"limit": {strconv.Itoa(limit)}}, &p)
	return p.ParkedKeys, err
}

// Breaker is the state of a circuit breaker of one process.
type Breaker struct {
	Name         string    `json:"name"`  // of what it protects, "gateway"
	State        string    `json:"state"` // "closed", "half-open", "open"
	Failures     int       `json:"failures"`
	Since        time.Time `json:"since"`        // when the state began
	RetryAfterMS int64     `json:"retryAfterMs"` // of an open one: until its probe
	LastFault    string    `json:"lastFault,omitempty"`
}

// Closed tells that calls are let through.
func (b Breaker) Closed() bool { return b.State == "closed" }

// Breakers lists the circuit breakers of the process. Most services call nobody outside
// and have none; that they may not offer the list either is no error.
func (c *Client) Breakers(ctx context.Context) ([]Breaker, error) {
	var b struct {
		Breakers []Breaker `json:"breakers"`
	}
	err := c.get(ctx, "/breakers", nil, &b)
	if StatusOf(err) == http.StatusNotFound {
		return nil, nil
	}
	return b.Breakers, err
}
