package job

import (
	"errors"
	"io"
	"os"
)

// Quiet keeps what a command prints until it is known whether anybody wants it.
type Quiet struct {
	out, err     *os.File // temporary; the same file if both go to the same place
	toOut, toErr *os.File
}

// NewQuiet returns files for the output of a command that would go to out and err. If those
// are the same, the order of what is printed stays.
func NewQuiet(out, err *os.File) (*Quiet, error) {
	q := &Quiet{toOut: out, toErr: err}
	var failed error
	if q.out, failed = newTemporary(); failed != nil {
		return nil, failed
	}
	q.err = q.out
	if !sameFile(out, err) {
		if q.err, failed = newTemporary(); failed != nil {
			_ = q.out.Close()
			return nil, failed
		}
	}
	return q, nil
}

// Files returns where the command is to print to.
func (q *Quiet) Files() (out, err *os.File) { return q.out, q.err }

// Print prints all that the command has printed so far.
func (q *Quiet) Print() error {
	err := show(q.out, q.toOut)
	if q.err != q.out {
		err = errors.Join(err, show(q.err, q.toErr))
	}
	return err
}

func show(from, to *os.File) error {
	if _, err := from.Seek(0, io.SeekStart); err != nil {
		return err
	}
	_, err := io.Copy(to, from)
	return err
}

// Close drops what the command has printed. A process that it left behind may go on printing.
func (q *Quiet) Close() {
	_ = q.out.Close() // it is not needed any more
	if q.err != q.out {
		_ = q.err.Close()
	}
}

func sameFile(a, b *os.File) bool {
	infoA, errA := a.Stat()
	infoB, errB := b.Stat()
	return errA == nil && errB == nil && os.SameFile(infoA, infoB)
}

// newTemporary returns a file that is gone when nobody has it open any more, where the system
// can do that.
func newTemporary() (*os.File, error) {
	file, err := os.CreateTemp("", "pushgateway-run-*")
	if err == nil {
		_ = os.Remove(file.Name()) // Windows cannot
	}
	return file, err
}
