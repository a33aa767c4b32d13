
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "src/core/ngx_chat_file.h"


#define NGX_CHAT_FILE_LONGEST  60000          /* ms, of one job */


/* data of a thread; the job and its pool may be freed meanwhile */

typedef struct {
    ngx_thread_task_t           task;
    ngx_chat_files_t           *files;
    ngx_chat_file_job_t        *job;          /* NULL: cancelled */

    /* null-terminated strings after this structure */
    ngx_str_t                   dir;
    ngx_str_t                   temp;
    ngx_str_t                   tokens;
    u_char                     *path;         /* buffer */

    ngx_int_t                   rc;
    ngx_err_t                   err;
    const char                 *failed;       /* function */
    ngx_chat_image_t            image;
} ngx_chat_file_work_t;


struct ngx_chat_files_s {
    ngx_thread_pool_t          *pool;
    ngx_log_t                  *log;
    ngx_uint_t                  nrunning;

    /* set while jobs run, so that an exiting worker waits for them */
    ngx_event_t                 timer;
};


static ngx_chat_file_work_t *ngx_chat_file_work(ngx_chat_files_t *files,
    ngx_chat_file_job_t *job);
static u_char *ngx_chat_file_copy(u_char *p, ngx_str_t *dst, ngx_str_t *src);
static void ngx_chat_file_late(ngx_event_t *ev);
static void ngx_chat_file_done(ngx_event_t *ev);

static void ngx_chat_file_thread(void *data, ngx_log_t *log);
static void ngx_chat_file_keep(ngx_chat_file_work_t *work);
static ngx_int_t ngx_chat_file_flush(ngx_chat_file_work_t *work);
static void ngx_chat_file_header(ngx_chat_file_work_t *work, ngx_fd_t fd);
static ngx_int_t ngx_chat_file_directory(ngx_chat_file_work_t *work,
    size_t len);
static ngx_int_t ngx_chat_file_flush_directory(ngx_chat_file_work_t *work,
    size_t len);
static void ngx_chat_file_remove(ngx_chat_file_work_t *work);
static ngx_int_t ngx_chat_file_failed(ngx_chat_file_work_t *work,
    const char *function);


ngx_chat_files_t *
ngx_chat_files_create(ngx_cycle_t *cycle, ngx_thread_pool_t *pool)
{
    ngx_chat_files_t  *files;

    files = ngx_pcalloc(cycle->pool, sizeof(ngx_chat_files_t));
    if (files == NULL) {
        return NULL;
    }

    files->pool = pool;
    files->log = cycle->log;

    files->timer.handler = ngx_chat_file_late;
    files->timer.data = files;
    files->timer.log = cycle->log;

    return files;
}


ngx_int_t
ngx_chat_file_submit(ngx_chat_files_t *files, ngx_chat_file_job_t *job)
{
    ngx_chat_file_work_t  *work;

    work = ngx_chat_file_work(files, job);
    if (work == NULL) {
        return NGX_ERROR;
    }

    if (ngx_thread_task_post(files->pool, &work->task) != NGX_OK) {
        ngx_free(work);
        return NGX_ERROR;
    }

    files->nrunning++;
    job->work = work;

    ngx_add_timer(&files->timer, NGX_CHAT_FILE_LONGEST);

    return NGX_OK;
}


void
ngx_chat_file_cancel(ngx_chat_file_job_t *job)
{
    ngx_chat_file_work_t  *work;

    work = job->work;

    work->job = NULL;
    job->work = NULL;
}


static ngx_chat_file_work_t *
ngx_chat_file_work(ngx_chat_files_t *files, ngx_chat_file_job_t *job)
{
    u_char                *p;
    ngx_chat_file_work_t  *work;

    work = ngx_calloc(sizeof(ngx_chat_file_work_t) + job->dir.len + 1
                      + job->temp.len + 1 + job->tokens.len + 1
                      + job->dir.len + 1 + NGX_CHAT_FILE_PATH_LEN + 1,
                      files->log);
    if (work == NULL) {
        return NULL;
    }

    work->task.ctx = work;
    work->task.handler = ngx_chat_file_thread;
    work->task.event.data = work;
    work->task.event.handler = ngx_chat_file_done;
    work->task.event.log = files->log;

    work->files = files;
    work->job = job;

    p = (u_char *) (work + 1);
    p = ngx_chat_file_copy(p, &work->dir, &job->dir);
    p = ngx_chat_file_copy(p, &work->temp, &job->temp);
    p = ngx_chat_file_copy(p, &work->tokens, &job->tokens);

    work->path = p;

    return work;
}


static u_char *
ngx_chat_file_copy(u_char *p, ngx_str_t *dst, ngx_str_t *src)
{
    dst->data = p;
    dst->len = src->len;

    if (src->len) {
        p = ngx_cpymem(p, src->data, src->len);
    }

    *p++ = '\0';

    return p;
}


static void
ngx_chat_file_late(ngx_event_t *ev)
{
    ngx_log_error(NGX_LOG_ALERT, ev->log, 0,
                  "chat: an operation on a file takes more than %d s",
                  NGX_CHAT_FILE_LONGEST / 1000);
}


static void
ngx_chat_file_done(ngx_event_t *ev)
{
    ngx_chat_files_t      *files;
    ngx_chat_file_job_t   *job;
    ngx_chat_file_work_t  *work;

    work = ev->data;
    files = work->files;

    if (--files->nrunning == 0 && files->timer.timer_set) {
        ngx_del_timer(&files->timer);
    }

    /* of a cancelled job, the temporary file may have been removed */

    job = work->job;

    if (work->rc != NGX_OK && job != NULL) {
        ngx_log_error(NGX_LOG_ERR, files->log, work->err,
                      "chat: %s of a file in \"%V\" failed", work->failed,
                      &work->dir);
    }

    if (job != NULL) {
        job->work = NULL;
        job->rc = work->rc;
        job->image = work->image;
    }

    ngx_free(work);

    if (job != NULL) {
        job->handler(job);
    }
}


/*
 * The functions from here to ngx_chat_file_failed() run in a thread.  They use
 * "work" only, and do not log.
 */

static void
ngx_chat_file_thread(void *data, ngx_log_t *log)
{
    ngx_chat_file_work_t  *work = data;

    work->rc = NGX_OK;

    if (work->temp.len) {
        ngx_chat_file_keep(work);

    } else {
        ngx_chat_file_remove(work);
    }
}


/*
 * The contents and the name are on the disk before the row is written, so that
 * neither a crash of the worker nor one of the host loses an acknowledged file.
 */

static void
ngx_chat_file_keep(ngx_chat_file_work_t *work)
{
    size_t   len;
    u_char  *p;

    if (ngx_chat_file_flush(work) != NGX_OK) {
        return;
    }

    p = ngx_cpymem(work->path, work->dir.data, work->dir.len);
    *p++ = '/';
    *ngx_chat_file_path(p, work->tokens.data) = '\0';

    len = work->dir.len + sizeof("/ab") - 1;

    if (ngx_chat_file_directory(work, len) != NGX_OK
        || ngx_chat_file_directory(work, len + sizeof("/cd") - 1) != NGX_OK)
    {
        return;
    }

    if (ngx_rename_file(work->temp.data, work->path) == NGX_FILE_ERROR) {
        (void) ngx_chat_file_failed(work, "rename()");
        return;
    }

    (void) ngx_chat_file_flush_directory(work, len + sizeof("/cd") - 1);
}


/* flushes the temporary file, and reads its header */

static ngx_int_t
ngx_chat_file_flush(ngx_chat_file_work_t *work)
{
    ngx_fd_t  fd;

    fd = ngx_open_file(work->temp.data, NGX_FILE_RDONLY, NGX_FILE_OPEN, 0);
    if (fd == NGX_INVALID_FILE) {
        return ngx_chat_file_failed(work, "open()");
    }

    if (fsync(fd) == -1) {
        (void) ngx_chat_file_failed(work, "fsync()");

    } else {
        ngx_chat_file_header(work, fd);
    }

    if (ngx_close_file(fd) == NGX_FILE_ERROR && work->rc == NGX_OK) {
        (void) ngx_chat_file_failed(work, "close()");
    }

    return work->rc;
}


static void
ngx_chat_file_header(ngx_chat_file_work_t *work, ngx_fd_t fd)
{
    u_char   *buf;
    ssize_t   n;

    buf = malloc(NGX_CHAT_IMAGE_HEADER);
    if (buf == NULL) {
        (void) ngx_chat_file_failed(work, "malloc()");
        return;
    }

    n = pread(fd, buf, NGX_CHAT_IMAGE_HEADER, 0);

    if (n == -1) {
        (void) ngx_chat_file_failed(work, "pread()");

    } else {
        ngx_chat_image_read(&work->image, buf, n);
    }

    free(buf);
}


/* creates the directory of the first "len" bytes if necessary */

static ngx_int_t
ngx_chat_file_directory(ngx_chat_file_work_t *work, size_t len)
{
    u_char     c;
    ngx_int_t  rc;

    c = work->path[len];
    work->path[len] = '\0';

    rc = (ngx_create_dir(work->path, 0700) == NGX_FILE_ERROR) ? ngx_errno : 0;

    work->path[len] = c;

    if (rc == 0) {
        return ngx_chat_file_flush_directory(work, len - 3);
    }

    if (rc != NGX_EEXIST) {
        ngx_set_errno(rc);
        return ngx_chat_file_failed(work, "mkdir()");
    }

    return NGX_OK;
}


static ngx_int_t
ngx_chat_file_flush_directory(ngx_chat_file_work_t *work, size_t len)
{
    u_char    c;
    ngx_fd_t  fd;

    c = work->path[len];
    work->path[len] = '\0';

    fd = ngx_open_file(work->path, NGX_FILE_RDONLY, NGX_FILE_OPEN, 0);

    work->path[len] = c;

    if (fd == NGX_INVALID_FILE) {
        return ngx_chat_file_failed(work, "open()");
    }

    if (fsync(fd) == -1) {
        (void) ngx_chat_file_failed(work, "fsync()");
    }

    (void) ngx_close_file(fd);

    return work->rc;
}


/* a file that does not exist is removed */

static void
ngx_chat_file_remove(ngx_chat_file_work_t *work)
{
    size_t   i;
    u_char  *p;

    p = ngx_cpymem(work->path, work->dir.data, work->dir.len);
    *p++ = '/';

    for (i = 0; i < work->tokens.len; i += NGX_CHAT_FILE_TOKEN_LEN) {
        *ngx_chat_file_path(p, work->tokens.data + i) = '\0';

        if (ngx_delete_file(work->path) == NGX_FILE_ERROR
            && ngx_errno != NGX_ENOENT)
        {
            (void) ngx_chat_file_failed(work, "unlink()");
        }
    }
}


static ngx_int_t
ngx_chat_file_failed(ngx_chat_file_work_t *work, const char *function)
{
    work->rc = NGX_ERROR;
    work->err = ngx_errno;
    work->failed = function;

    return NGX_ERROR;
}
