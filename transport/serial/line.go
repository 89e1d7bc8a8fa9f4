package serial

import (
	"context"
	"os"
	"time"

	"cpns.example.net/pngw/transport"
)

// A line is an open device.
type line struct {
	port   *os.File
	frames *transport.FrameWriter // by whoever has the Link's turn
	limit  time.Duration          // for writing one frame
}

// kernelBuffer is what a tty's driver takes before a write has to wait, in bytes.
const kernelBuffer = 4096

func newLine(port *os.File, baud int) *line {
	// Ten bits a byte, for this frame and for what the kernel may hold before it.
	limit := 5*time.Second + (kernelBuffer+transport.MaxFrame)*10*time.Second/time.Duration(baud)
	return &line{port: port, frames: transport.NewFrameWriter(port), limit: limit}
}

func (ln *line) close() {
	unlock(ln.port)
	ln.port.Close()
}

// past is a deadline that ends what is under way.
var past = time.Unix(1, 0)

// endReadWith makes a Read of the port end when ctx does, until the returned
// function is called.
func (ln *line) endReadWith(ctx context.Context) (stop func()) {
	stopped := context.AfterFunc(ctx, func() { ln.port.SetReadDeadline(past) })
	return func() { stopped() }
}

// write writes one frame. It gives up when ctx ends or the line has taken too
// long, and then part of the frame may be on the line; the next
// frame's 0x00 ends that.
func (ln *line) write(ctx context.Context, msg []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	ln.port.SetWriteDeadline(time.Now().Add(ln.limit))
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		ln.port.SetWriteDeadline(past)
	})
	defer func() {
		if !stop() {
			<-ended // or it would end the next write instead
		}
	}()
	return ln.frames.WriteFrame(msg)
}
