package consumer

import (
	"errors"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// A short refusal, as in a rebalance, is no reason not to be ready. A lasting one is, until a
// commit is accepted.
func TestOnlyCommitsThatGoOnFailingAreTrouble(t *testing.T) {
	t.Parallel()
	now := time.Unix(1, 0)
	w := &commits{
		group: "g", log: slog.New(slog.NewTextHandler(io.Discard, nil)), now: func() time.Time { return now },
		refused: prometheus.NewCounter(prometheus.CounterOpts{Name: "refused"}),
	}
	refusal := func(code int16) *kmsg.OffsetCommitResponse {
		return &kmsg.OffsetCommitResponse{Topics: []kmsg.OffsetCommitResponseTopic{{
			Topic: "t", Partitions: []kmsg.OffsetCommitResponseTopicPartition{{Partition: 3, ErrorCode: code}},
		}}}
	}
	for i, step := range []struct {
		after   time.Duration
		answer  *kmsg.OffsetCommitResponse
		err     error
		trouble bool
	}{
		{0, refusal(kerr.GroupAuthorizationFailed.Code), nil, false},
		{commitPatience - time.Millisecond, nil, errors.New("no answer"), false},
		{time.Millisecond, refusal(kerr.GroupAuthorizationFailed.Code), nil, true},
		{time.Hour, refusal(0), nil, false},
		{time.Millisecond, nil, errors.New("no answer"), false}, // the next failure starts anew
		{commitPatience, refusal(kerr.RebalanceInProgress.Code), nil, false},
	} {
		now = now.Add(step.after)
		w.done(nil, nil, step.answer, step.err)
		if err := w.Trouble(); (err != nil) != step.trouble {
			t.Errorf("step %d: %v, want trouble: %t", i, err, step.trouble)
		}
	}
}
