package backup

import "sync/atomic"

// Progress is what a running operation tells about itself. One goroutine runs
// the operation, any number may call View. The zero Progress is ready to use.
type Progress struct {
	phase   atomic.Pointer[string]
	records atomic.Int64
	raw     atomic.Int64
	stored  atomic.Int64
	total   atomic.Int64 // expected raw bytes; an estimate
	resumed atomic.Pointer[Resumed]
	notice  atomic.Pointer[string]
	notices atomic.Int64
	entered atomic.Pointer[func(string)]
}

// OnEnter has f called with every phase that is entered from now on, by the
// goroutine that runs the operation.
func (p *Progress) OnEnter(f func(phase string)) {
	if p != nil {
		p.entered.Store(&f)
	}
}

// Resumed says what became of a backup that was cut off before.
type Resumed struct {
	Parts       int    `json:"parts"`            // that were kept and not sent again
	StoredBytes int64  `json:"stored_bytes"`     // of them
	Afresh      string `json:"afresh,omitempty"` // why it began anew
}

// Resume records what was saved, or why nothing could be.
func (p *Progress) Resume(r Resumed) {
	if p != nil {
		p.resumed.Store(&r)
	}
}

// Resumed returns what Resume recorded, the zero Resumed for nothing.
func (p *Progress) Resumed() Resumed {
	if p == nil || p.resumed.Load() == nil {
		return Resumed{}
	}
	return *p.resumed.Load()
}

// ProgressView is a moment of a Progress.
type ProgressView struct {
	Phase       string  `json:"phase"`
	Records     int64   `json:"records"`
	RawBytes    int64   `json:"raw_bytes"`    // before compression
	StoredBytes int64   `json:"stored_bytes"` // read from or written to the destination
	TotalBytes  int64   `json:"total_bytes"`  // expected in all, before compression; 0 when that is not known
	Fraction    float64 `json:"fraction"`     // 0 to 1, by estimated bytes
	// Notice is the last thing that the storage made it wait for, such as a
	// request that is made again, a line for people; Notices is how often.
	Notice  string `json:"notice,omitempty"`
	Notices int64  `json:"notices,omitempty"`
}

// Enter starts a phase, such as "scan" or "commit". A nil Progress ignores
// every call.
func (p *Progress) Enter(phase string) {
	if p == nil {
		return
	}
	p.phase.Store(&phase)
	if f := p.entered.Load(); f != nil {
		(*f)(phase)
	}
}

// Expect sets how many raw bytes are expected in all.
func (p *Progress) Expect(rawBytes int64) {
	if p != nil {
		p.total.Store(rawBytes)
	}
}

// Add counts finished work.
func (p *Progress) Add(records, rawBytes, storedBytes int64) {
	if p != nil {
		p.records.Add(records)
		p.raw.Add(rawBytes)
		p.stored.Add(storedBytes)
	}
}

// Note records what the operation waits for; see destination.WithNotice.
func (p *Progress) Note(text string) {
	if p != nil {
		p.notice.Store(&text)
		p.notices.Add(1)
	}
}

// View returns the present state. Fraction stays below 1 until Enter("done").
func (p *Progress) View() ProgressView {
	if p == nil {
		return ProgressView{}
	}
	v := ProgressView{Records: p.records.Load(), RawBytes: p.raw.Load(), StoredBytes: p.stored.Load(), TotalBytes: p.total.Load()}
	if phase := p.phase.Load(); phase != nil {
		v.Phase = *phase
	}
	if notice := p.notice.Load(); notice != nil {
		v.Notice, v.Notices = *notice, p.notices.Load()
	}
	if v.Phase == PhaseDone {
		v.Fraction = 1
	} else if v.TotalBytes > 0 {
		v.Fraction = min(0.99, float64(v.RawBytes)/float64(v.TotalBytes))
	}
	return v
}

// The phases of a backup, in order.
const (
	PhaseLock     = "lock"     // taking the lease, reading manifests
	PhaseResume   = "resume"   // verifying what an attempt that was cut off has stored
	PhaseSnapshot = "snapshot" // opening the one read transaction
	PhaseScan     = "scan"     // reading, compressing, encrypting, storing parts
	PhaseCommit   = "commit"   // part lists and manifest
	PhaseDone     = "done"
)
