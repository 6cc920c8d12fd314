package ops

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Skip is a record that an operator asked to be passed over.
type Skip struct {
	Topic     string     `json:"topic"`
	Partition int32      `json:"partition"`
	Offset    int64      `json:"offset"`
	Actor     string     `json:"actor"`
	Reason    string     `json:"reason"`
	AskedAt   time.Time  `json:"askedAt"`
	SkippedAt *time.Time `json:"skippedAt,omitempty"` // nil: the consumer has not met the record since
}

// Skip asks the group to pass a record over that waits and cannot be stored. A *Problem with
// status 409 says that the record has a dead letter.
func (c *Client) Skip(ctx context.Context, topic string, partition int32, offset int64, reason string) (k Skip, err error) {
	in := struct {
		Topic     string `json:"topic"`
		Partition int32  `json:"partition"`
		Offset    int64  `json:"offset"`
		Reason    string `json:"reason"`
	}{topic, partition, offset, reason}
	return k, c.do(ctx, http.MethodPost, "/skips", in, &k)
}

// Skips lists up to limit wishes, newest first.
func (c *Client) Skips(ctx context.Context, limit int) ([]Skip, error) {
	var all struct {
		Skips []Skip `json:"skips"`
	}
	err := c.get(ctx, "/skips", url.Values{"limit": {strconv.Itoa(limit)}}, &all)
	return all.Skips, err
}
