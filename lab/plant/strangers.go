package plant

import (
	"bytes"
	"context"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
)

// Decode decodes an event's bytes; schema.Codec.DecodeAtOnce is one. Bytes that can never be
// decoded are an error of kind errs.Hopeless.
type Decode func(ctx context.Context, t event.Type, value []byte) (event.Event, error)

// Strangers creates foreign records of any key, headers, value, timestamp and place, from events on
// the topics: records that a mirror, an agent, a bug or an attacker may add. It is for one
// goroutine. The same seed and the same events create the same records.
type Strangers struct {
	*rand.Rand
	decode    Decode
	types     []string                 // of the events to spoil, sorted
	byType    map[string][]*kgo.Record // likewise
	published map[string]*kgo.Record   // by ce_id
	keys      []string                 // of those published, sorted
	topics    []string                 // of the events to spoil, sorted
	elsewhere []string                 // topics without events
}

// NewStrangers returns a generator of records. published are records of the topics. invented are
// records that would be events but are on no topic: they represent rare types. elsewhere are topics
// without events, such as retry and dead-letter topics.
func NewStrangers(seed uint64, decode Decode, published, invented []*kgo.Record, elsewhere ...string) *Strangers {
	s := &Strangers{
		Rand: rand.New(rand.NewPCG(seed, 0)), decode: decode, elsewhere: elsewhere,
		byType: map[string][]*kgo.Record{}, published: map[string]*kgo.Record{},
	}
	keys, topics := map[string]bool{}, map[string]bool{}
	for i, r := range append(slices.Clone(published), invented...) {
		typ := header(r, event.HeaderType)
		s.byType[typ] = append(s.byType[typ], r)
		topics[r.Topic] = true
		if i < len(published) {
			s.published[header(r, event.HeaderID)] = r
			keys[string(r.Key)] = true
		}
	}
	s.types = slices.Sorted(maps.Keys(s.byType))
	s.keys, s.topics = slices.Sorted(maps.Keys(keys)), slices.Sorted(maps.Keys(topics))
	return s
}

// Harmless returns a record that no consumer can take for an event that was not published: no
// event, or a copy of an event with its own id. It harms no consumer of this shop.
func (s *Strangers) Harmless(ctx context.Context) (*kgo.Record, error) { return s.next(ctx, false) }

// Lie returns a record that consumers accept as an event, or that removes something: an event that
// never happened, an event's id with other content, version or topic, the newest record of a key on
// a compacted topic. No consumer can recognise it, and its effects are the producer's fault.
func (s *Strangers) Lie(ctx context.Context) (*kgo.Record, error) { return s.next(ctx, true) }

func (s *Strangers) next(ctx context.Context, want bool) (*kgo.Record, error) {
	for {
		r := s.spoil()
		lies, err := s.lies(ctx, r)
		if err != nil || lies == want {
			return r, err
		}
	}
}

// spoil changes an event in up to three ways, or in none.
func (s *Strangers) spoil() *kgo.Record {
	of := s.byType[s.types[s.IntN(len(s.types))]]
	good := of[s.IntN(len(of))]
	r := &kgo.Record{
		Topic: good.Topic, Partition: good.Partition, Timestamp: good.Timestamp,
		Key: slices.Clone(good.Key), Value: slices.Clone(good.Value), Headers: slices.Clone(good.Headers),
	}
	if s.IntN(3) > 0 {
		s.set(r, event.HeaderID, s.id())
	}
	if s.IntN(3) == 0 {
		r.Partition = s.Int32N(event.Partitions)
	}
	for range s.IntN(4) {
		switch s.IntN(5) {
		case 0:
			s.spoilKey(r)
		case 1:
			s.spoilValue(r)
		case 2:
			s.spoilPlace(r)
		default:
			s.spoilHeaders(r)
		}
	}
	return r
}

func (s *Strangers) spoilKey(r *kgo.Record) {
	switch s.IntN(4) {
	case 0:
		r.Key = s.bytes()
	case 1:
		r.Key = s.random(3000) // more than an index row can store
	case 2:
		r.Key = nil
	case 3:
		if len(s.keys) > 0 {
			r.Key = []byte(s.keys[s.IntN(len(s.keys))])
		}
	}
}

func (s *Strangers) spoilValue(r *kgo.Record) {
	switch n := len(r.Value); s.IntN(6) {
	case 0:
		r.Value = s.bytes()
	case 1:
		r.Value = append([]byte{0, 0, 0, 0, byte(s.IntN(40))}, s.bytes()...)
	case 2: // one bit
		if n > 0 {
			r.Value[s.IntN(n)] ^= 1 << s.IntN(8)
		}
	case 3: // another schema
		if n > 5 {
			r.Value[4] = byte(s.IntN(40))
			r.Value[3] = byte(s.IntN(20) / 19)
		}
	case 4:
		r.Value = nil
	case 5:
		if n > 0 {
			r.Value = r.Value[:s.IntN(n)]
		}
	}
}

func (s *Strangers) spoilPlace(r *kgo.Record) {
	switch s.IntN(3) {
	case 0:
		r.Timestamp = time.UnixMilli(int64(s.Uint64()) >> s.IntN(64))
	case 1:
		r.Topic = s.topics[s.IntN(len(s.topics))]
	case 2:
		if len(s.elsewhere) > 0 {
			r.Topic = s.elsewhere[s.IntN(len(s.elsewhere))]
		}
	}
}

func (s *Strangers) spoilHeaders(r *kgo.Record) {
	if len(r.Headers) == 0 {
		return
	}
	h := r.Headers[s.IntN(len(r.Headers))]
	switch s.IntN(8) {
	case 0: // twice, with the same value or two values
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: h.Key, Value: [][]byte{h.Value, s.bytes()}[s.IntN(2)]})
	case 1:
		s.set(r, h.Key, string(s.bytes()))
	case 2:
		r.Headers = slices.DeleteFunc(r.Headers, func(o kgo.RecordHeader) bool { return o.Key == h.Key })
	case 3:
		for range s.IntN(40) {
			r.Headers = append(r.Headers, kgo.RecordHeader{Key: string(s.bytes()), Value: s.bytes()})
		}
	case 4:
		s.set(r, event.HeaderID, []string{uuid.Nil.String(), "6ba7b810-9dad-11d1-80b4-00c04fd430c8", "1", s.id()}[s.IntN(4)])
	case 5:
		s.set(r, event.HeaderAggregateVersion, []string{"0", "1", "99", "-1", "9223372036854775807", "9223372036854775808"}[s.IntN(6)])
	case 6:
		s.set(r, event.HeaderTime, []string{"yesterday", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2025-13-01T00:00:00Z"}[s.IntN(4)])
	case 7:
		s.set(r, event.HeaderType, s.types[s.IntN(len(s.types))])
	}
}

// lies reports whether a consumer may take the record for an event that was not published, or may
// lose an event because of it.
func (s *Strangers) lies(ctx context.Context, r *kgo.Record) (bool, error) {
	if slices.Contains(s.elsewhere, r.Topic) {
		return false, nil
	}
	if _, known := slices.BinarySearch(s.keys, string(r.Key)); known && r.Topic == events.TopicOrderSnapshots {
		return true, nil // compaction keeps the last
	}
	env, _, err := event.ReadEnvelope(headersOf(r), r.Timestamp)
	if err != nil {
		return false, nil
	}
	if o := s.published[env.ID.String()]; o != nil {
		of, _, _ := event.ReadEnvelope(headersOf(o), o.Timestamp) // published: it has one
		switch {
		case o.Topic != r.Topic:
			return true, nil
		case bytes.Equal(o.Key, r.Key) && bytes.Equal(o.Value, r.Value) && of.Type == env.Type && of.AggregateVersion == env.AggregateVersion:
			return false, nil
		}
	}
	t, ok := events.Catalogue().Lookup(env.Type)
	if !ok || t.Topic != r.Topic {
		return false, nil
	}
	e, err := s.decode(ctx, t, r.Value)
	switch {
	case err == nil:
		return e.AggregateKey() != "" && e.AggregateKey() == string(r.Key), nil
	case errs.KindOf(err) == errs.Hopeless:
		return false, nil
	}
	return false, err
}

// set sets the value of every header of that name.
func (s *Strangers) set(r *kgo.Record, name, value string) {
	for i := range r.Headers {
		if r.Headers[i].Key == name {
			r.Headers[i].Value = []byte(value)
		}
	}
}

// id returns an id as a service creates it today.
func (s *Strangers) id() string {
	var id uuid.UUID
	now := uint64(time.Now().UnixMilli())
	for i := range id {
		id[i] = byte(s.Uint32())
	}
	for i := range 6 { // RFC 9562 section 5.7
		id[i] = byte(now >> (40 - 8*i))
	}
	id[6], id[8] = id[6]&0x0f|0x70, id[8]&0x3f|0x80
	return id.String()
}

// bytes returns random bytes: none, few, many, text or not.
func (s *Strangers) bytes() []byte {
	switch s.IntN(7) {
	case 0:
		return nil
	case 1:
		return []byte{}
	case 2:
		return []byte(strings.Repeat("long ", s.IntN(2000)))
	case 3:
		return []byte([]string{"OrderDelivered", "1", "0", "-1", "\x00", "\xff", "9223372036854775807", "2025-13-01T00:00:00Z"}[s.IntN(8)])
	}
	return s.random(s.IntN(1 + s.IntN(4000)))
}

func (s *Strangers) random(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(s.Uint32())
	}
	return b
}

func header(r *kgo.Record, name string) string {
	for _, h := range r.Headers {
		if h.Key == name {
			return string(h.Value)
		}
	}
	return ""
}

func headersOf(r *kgo.Record) []event.Header {
	headers := make([]event.Header, len(r.Headers))
	for i, h := range r.Headers {
		headers[i] = event.Header{Key: h.Key, Value: h.Value}
	}
	return headers
}
