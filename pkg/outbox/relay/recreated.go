package relay

import (
	"maps"
	"slices"
	"sync"
)

// recreatedTopics are the topics that may have been deleted and created again while the relay runs.
type recreatedTopics struct {
	mu     sync.Mutex
	topics map[string]bool
	all    bool            // every topic of read may have been created again
	read   map[string]bool // topics of the rows read so far
}

// noteRead stores the topics of rows that were read.
func (c *recreatedTopics) noteRead(records []*record) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, rec := range records {
		c.read[rec.orderKey.topic] = true
	}
}

// add records that the broker does not know the id that the client has for a topic.
func (c *recreatedTopics) add(topic string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.topics[topic] = true
}

// addAll records that all topics may have been created again.
func (c *recreatedTopics) addAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = true
}

// take returns the topics and clears them.
func (c *recreatedTopics) take() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.all {
		maps.Copy(c.topics, c.read)
		c.all = false
	}
	topics := slices.Sorted(maps.Keys(c.topics))
	clear(c.topics)
	return topics
}

// reopenForRecreated replaces the clients when topics were created again. The current clients would
// refuse their records for ever: kgo never adopts a new topic id by itself. Purging the topic from
// the client does not work. The client would count the topic's batches from the beginning again,
// under the same producer id. A broker that still has the topic would treat the first ones as
// repetitions, acknowledge them, and drop them. The read loop calls it, because it waits for the
// client and a promise must not.
func (p *producers) reopenForRecreated() {
	topics := p.recreated.take()
	if len(topics) == 0 {
		return
	}
	p.cfg.Logger.Warn("topics were made again, or may have been, while the outbox relay runs", "topics", topics)
	for _, one := range p.all() {
		p.reopen(one)
	}
}
