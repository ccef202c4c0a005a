package web

import (
	"pushgateway/internal/metric"
	"pushgateway/internal/store"
)

// bulkSink is the wire.Sink of a bulk push. A push in a single batch is split and left as
// it is until it is applied; of one in several, each batch is encoded at once.
type bulkSink struct {
	handler *pushHandler
	asked   requestOptions
	names   []string // of the labels that name the groups
	reserve func(memory int64) error
	groups  int // that memory is reserved for

	splitter *metric.Splitter
	encoder  store.Encoder
	drafts   []draft // beside the splitter's groups, if there were several batches
	// duplicate is the error of Done about a group that has a series twice. The other
	// groups are applied all the same.
	duplicate error
}

// draft is the push to one group.
type draft struct {
	push store.Draft
	err  error // of its options
}

func (s *bulkSink) Reset() {
	s.splitter, s.drafts, s.duplicate = metric.NewSplitter(s.names), nil, nil
}

const (
	// bulkGroupMemory is about what a group takes while it is applied, in bytes, beside its metrics.
	bulkGroupMemory = 3 << 10
	// manyGroups is the number of groups from which on memory is reserved for them.
	manyGroups = 32
)

// split splits a batch and reserves memory for the groups that are new.
func (s *bulkSink) split(families []metric.Family) (touched []int, err error) {
	if touched, err = s.splitter.Split(families); err != nil {
		return nil, err
	}
	if n := len(s.splitter.Groups()); n >= s.groups+manyGroups {
		err = s.reserve(int64(n-s.groups) * bulkGroupMemory)
		s.groups = n
	}
	return touched, err
}

func (s *bulkSink) Add(families []metric.Family) error {
	touched, err := s.split(families)
	if err != nil {
		return err
	}
	groups := s.splitter.Groups()
	for _, at := range touched {
		if at == len(s.drafts) { // a new group; they come in order
			options, err := s.handler.pushOptions(groups[at].Key, s.asked)
			s.encoder.Begin(groups[at].Key, options)
			s.drafts = append(s.drafts, draft{s.encoder.Suspend(), err})
		}
		d := &s.drafts[at]
		if d.err != nil {
			continue
		}
		if s.encoder.Resume(d.push); s.encoder.Rejected() == nil {
			_ = s.encoder.Add(groups[at].Families) // apply looks at Rejected
		}
		d.push = s.encoder.Suspend()
	}
	return nil
}

func (s *bulkSink) Done(families []metric.Family) error {
	if s.drafts == nil {
		_, err := s.split(families)
		return err
	}
	if err := s.Add(families); err != nil {
		return err
	}
	for i := range s.drafts {
		d := &s.drafts[i]
		if d.err != nil {
			continue
		}
		if s.encoder.Resume(d.push); s.encoder.Rejected() == nil {
			if err := s.encoder.Done(nil); reasonOf(err) == metric.DuplicateSeries {
				s.duplicate = err
			}
		}
		d.push = s.encoder.Suspend()
	}
	return s.duplicate
}

// resume makes the encoder hold the push to group i, ready to be applied. It is safe for
// concurrent use with different encoders.
func (s *bulkSink) resume(encoder *store.Encoder, i int) error {
	if s.drafts != nil {
		encoder.Resume(s.drafts[i].push)
		return s.drafts[i].err
	}
	g := s.splitter.Groups()[i]
	options, err := s.handler.pushOptions(g.Key, s.asked)
	if err != nil {
		return err
	}
	encoder.Begin(g.Key, options)
	_ = encoder.Done(g.Families) // apply looks at Rejected
	return nil
}
