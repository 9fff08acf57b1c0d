// A video as the browser plays it. The browser, not Cornerstone3D's viewport, which never settles
// for a codec that the browser lacks.
import { element } from "./dom";
import { LoadError, QUIET_SECONDS } from "./loading";

/** How far one key press moves where the file does not say how fast it is. */
const FRAMES_PER_SECOND = 25;

export class Video {
  readonly host = element("video", {
    class: "stage-video",
    controls: true,
    muted: true,
    playsinline: true,
    preload: "auto",
    loop: true,
  });

  constructor(private readonly framesPerSecond = FRAMES_PER_SECOND) {}

  /**
   * Resolves when the first frame can be seen.
   *
   * @throws LoadError whose kind is "codec" as a value where the browser lacks the codec.
   */
  open(path: string): Promise<void> {
    const { host } = this;
    return new Promise((resolve, reject) => {
      let timer = 0;
      const restart = (): void => {
        clearTimeout(timer);
        timer = window.setTimeout(
          () => reject(new LoadError("time", { seconds: QUIET_SECONDS })),
          QUIET_SECONDS * 1000,
        );
      };
      host.addEventListener("progress", restart);
      host.addEventListener("loadeddata", () => {
        clearTimeout(timer);
        host.removeEventListener("progress", restart);
        // A file whose pictures cannot be decoded may still play as sound.
        if (host.videoWidth > 0) resolve();
        else reject(new VideoError("codec"));
      });
      host.addEventListener("error", () => {
        clearTimeout(timer);
        reject(new VideoError(failureOf(host.error)));
      });
      restart();
      host.src = path;
    });
  }

  toggle(): void {
    if (this.host.paused) void this.host.play().catch(() => {});
    else this.host.pause();
  }

  step(frames: number): void {
    this.host.pause();
    this.host.currentTime += frames / this.framesPerSecond;
  }

  /** Stops, and lets go of the file. */
  dispose(): void {
    this.host.pause();
    this.host.removeAttribute("src");
    this.host.load();
    this.host.remove();
  }
}

/** A video cannot be played: for want of a codec, or because of the file or the network. */
export class VideoError extends Error {
  constructor(readonly kind: "codec" | "video" | "network") {
    super(kind);
  }
}

function failureOf(error: MediaError | null): VideoError["kind"] {
  if (error?.code === MediaError.MEDIA_ERR_NETWORK) return "network";
  return error?.code === MediaError.MEDIA_ERR_DECODE ? "video" : "codec";
}
