package eventstore

import (
	"context"
	"encoding/json"
	"log/slog"
	"sync"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/postgres"
)

// StatesConfig describes one kind of aggregate, whose state is an S.
type StatesConfig[S any] struct {
	// Apply returns the state after one more event. The zero S is the state before the first one. It
	// fails for an event that this program cannot read. It must not change slices or maps of the
	// state that it gets.
	Apply func(S, Record) (S, error)

	Format int                              // see [Snapshot]
	Every  int64                            // versions between two snapshots
	Encode func(S) (json.RawMessage, error) // for a snapshot
	// Decode reads what Encode wrote. It fails if the state is not that of the snapshot's stream and
	// version.
	Decode func(Snapshot) (S, error)

	Pool       *pgxpool.Pool // for writing snapshots
	Log        *slog.Logger
	Registerer prometheus.Registerer // nil: no metrics
}

// States folds streams, beginning with the nearest snapshot, and writes snapshots.
//
// A snapshot is used if it has the right checksum and format and if Decode can read it. Otherwise the
// stream is folded from its beginning, and the fold writes the snapshot again. That is counted, and
// logged once per reason.
//
// Snapshots are written behind the work: a fold or a writer only notes them in memory, [States.Run]
// writes them. A process that dies before leaves a snapshot out, and the next fold notes it again. So
// a snapshot costs a transaction nothing, and one that cannot be written fails nothing.
//
// Snapshots are taken at the multiples of Every. The number kept per stream and format grows with the
// logarithm of the stream's length; see [surplus]. It is safe for concurrent use.
type States[S any] struct {
	cfg     StatesConfig[S]
	metrics statesMetrics

	mu      sync.Mutex
	noted   map[place]S
	warned  map[Reason]bool
	arrived chan struct{} // has room for one: something was noted
}

// place is where a snapshot belongs.
type place struct {
	stream  string
	version int64
}

// mostNoted bounds the snapshots that wait to be written, and so the memory that they take while the
// database is away.
const mostNoted = 1000

// NewStates returns a States.
func NewStates[S any](cfg StatesConfig[S]) *States[S] {
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if cfg.Every <= 0 {
		cfg.Every = 100
	}
	return &States[S]{
		cfg: cfg, metrics: newStatesMetrics(cfg.Registerer),
		noted: map[place]S{}, warned: map[Reason]bool{}, arrived: make(chan struct{}, 1),
	}
}

// State is a folded stream.
type State[S any] struct {
	State   S
	Version int64
	// Err is why the stream could not be folded further than Version.
	Err error
}

// Load returns the present states of the streams. Streams without events are missing in the map.
func (s *States[S]) Load(ctx context.Context, q postgres.Querier, streamIDs ...string) (map[string]State[S], error) {
	return s.load(ctx, q, Latest, streamIDs)
}

// LoadVersion returns the state that the stream had at a version. Its Version is lower if the stream
// ends before that, and 0 if there is no such stream.
func (s *States[S]) LoadVersion(ctx context.Context, q postgres.Querier, streamID string, version int64) (State[S], error) {
	states, err := s.load(ctx, q, version, []string{streamID})
	return states[streamID], err
}

func (s *States[S]) load(ctx context.Context, q postgres.Querier, until int64, streamIDs []string) (map[string]State[S], error) {
	tails, err := LoadTails(ctx, q, s.cfg.Format, until, streamIDs...)
	if err != nil {
		return nil, err
	}
	states := map[string]State[S]{}
	for id, tail := range tails {
		var begin State[S]
		if tail.Snapshot != nil {
			begin.Version = tail.Snapshot.Version
			if begin.State, err = s.cfg.Decode(*tail.Snapshot); err != nil {
				begin = State[S]{}
				tail.Unusable, tail.UnusableAt = Unreadable, tail.Snapshot.Version
				if tail.Records, err = LoadUntilVersion(ctx, q, id, until); err != nil {
					return nil, err
				}
			}
		}
		if tail.Unusable != "" {
			s.unusable(ctx, id, tail)
		}
		states[id] = s.fold(begin, tail, until == Latest)
	}
	return states, nil
}

// fold folds the events of the tail and notes the snapshots that it passes. A fold of an earlier
// version only notes what replaces an unusable one, so that reading the past does not write snapshots
// that are surplus.
func (s *States[S]) fold(st State[S], tail Tail, present bool) State[S] {
	for _, r := range tail.Records {
		next, err := s.cfg.Apply(st.State, r)
		if err != nil {
			st.Err = errs.Wrap(errs.KindOf(err), err, "fold stream "+r.StreamID)
			return st
		}
		st.State, st.Version = next, r.Version
		if present && s.Due(r.Version-1, r.Version) || tail.Unusable != "" && r.Version == tail.UnusableAt {
			s.Note(r.StreamID, r.Version, st.State)
		}
	}
	return st
}

// Due reports whether a snapshot belongs to one of the versions after the first one, up to the second.
func (s *States[S]) Due(after, upTo int64) bool { return after/s.cfg.Every != upTo/s.cfg.Every }

// Note notes a snapshot for [States.Run]. The version must be committed. Note does not wait.
func (s *States[S]) Note(streamID string, version int64, state S) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := place{streamID, version}
	if _, again := s.noted[at]; !again && len(s.noted) >= mostNoted {
		s.metrics.skipped.Inc()
		return
	}
	s.noted[at] = state
	select {
	case s.arrived <- struct{}{}:
	default: // Run knows
	}
}

// unusable counts a snapshot that cannot be used, and logs the first one of each reason.
func (s *States[S]) unusable(ctx context.Context, streamID string, tail Tail) {
	s.metrics.unusable.WithLabelValues(string(tail.Unusable)).Inc()
	s.mu.Lock()
	again := s.warned[tail.Unusable]
	s.warned[tail.Unusable] = true
	s.mu.Unlock()
	if !again {
		s.cfg.Log.WarnContext(ctx, "snapshot cannot be used; the stream is folded from its beginning and the snapshot written again. More of this reason are counted, not logged",
			"reason", tail.Unusable, "stream", streamID, "version", tail.UnusableAt, "format", s.cfg.Format)
	}
}
